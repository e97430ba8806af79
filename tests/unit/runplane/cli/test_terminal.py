import io
import json
import sys
from datetime import UTC, datetime

import pytest
from rich.text import Text

from runplane.cli.output_printer import LONGEST_LINE, OutputPrinter
from runplane.cli.terminal import as_json, clean, draw, one_line, plain, write_json
from runplane.client import OutputItem
from runplane.contract.run import Actor


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07clip", "clip"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b]never ended", ""),
        ("\x1b(B\x1bcreset", "reset"),
        ("\x9b31mred", "red"),
        ("a\x08\x08b\x7f\x00c", "abc"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("over\rwritten\r\nnext", "over\nwritten\nnext"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("naïve 日本 🙂", "naïve 日本 🙂"),
        ("\x1b", ""),
    ],
)
def test_what_a_program_prints_is_text_and_nothing_else(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_one_line_is_one_line_and_cut() -> None:
    assert one_line("a\n  b\x1b[2J\tc") == "a b c"
    assert one_line("x" * 300, 10) == "x" * 9 + "…"


def test_markup_of_others_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    draw(plain("[bold]no[/bold] :warning:", "red"))
    assert capsys.readouterr().out == "[bold]no[/bold] :warning:\n"


def test_in_a_pipe_nothing_is_cut_coloured_or_padded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    draw(Text("x" * 300, style="red"))
    assert capsys.readouterr().out == "x" * 300 + "\n"


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"who": Actor(principal="mü\x1b[31m"), "list": [Actor(principal="a")], "n": 1})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out)["who"]["principal"] == "mü\x1b[31m"
    assert as_json((1, 2)) == [1, 2]


def test_a_reader_that_went_away_ends_the_program_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError("no descriptor")

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(SystemExit):
        write_json({})


def item(text: str, *, stream: str = "stdout", offset: int = 0) -> OutputItem:
    return OutputItem(stream=stream, attempt=1, offset=offset, time=datetime.now(UTC), text=text)


def test_output_on_a_terminal_is_whole_clean_lines() -> None:
    written: list[str] = []
    printer = OutputPrinter(written.append, on_terminal=True)
    printer.take(item("on\x1b[3"))
    printer.take(item("1mE\n", stream="stderr"))
    printer.take(item("1me\ntwo\nthr"))
    assert written == ["1mE\n", "one\ntwo\n"]
    printer.finish()
    assert written[-1] == "thr\n"


def test_a_line_without_end_is_not_kept_without_bound() -> None:
    written: list[str] = []
    printer = OutputPrinter(written.append, on_terminal=True)
    printer.take(item("x" * (LONGEST_LINE + 1)))
    assert len("".join(written)) == LONGEST_LINE + 2


def test_output_in_a_pipe_is_as_it_is() -> None:
    written: list[str] = []
    printer = OutputPrinter(written.append, on_terminal=False)
    printer.take(item("\x1b[31mred"))
    printer.finish()
    assert written == ["\x1b[31mred"]
