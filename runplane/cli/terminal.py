"""What is printed, and how it is made safe: everything a run or its workflow chose is text, never a control sequence.

On a terminal there is colour and the terminal's width; in a pipe neither, and no line is cut. A reader that goes away
(``runplane ps | head``) ends the program quietly.
"""

import json
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDE = 1000
READER_GONE = 141  # 128 + SIGPIPE, as a shell says it

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    r"|[\x1b][\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]"  # every other escape
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one character
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    r"\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # direction: text that reads otherwise than it is
)


def clean(text: object) -> str:
    """The text without control sequences and control characters; lines stay lines."""
    lines = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _SEQUENCES.sub("", lines))


def one_line(text: object, limit: int = 200) -> str:
    """The cleaned text on one line, cut after ``limit`` characters."""
    joined = " ".join(clean(text).split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"


def plain(text: object, style: str = "") -> "Text":
    """Text for rich that is neither markup nor control sequence."""
    from rich.text import Text

    return Text(one_line(text), style=style)


def console(*, err: bool = False) -> "Console":
    """Where a verb draws."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    on_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=on_terminal,
        width=None if on_terminal else WIDE,
        markup=False,
        emoji=False,
        highlight=False,
    )


def draw(renderable: Any) -> None:
    """Draw on standard output. In a pipe nothing is cut or padded."""
    screen = console()
    if screen.is_terminal:
        screen.print(renderable)
        return
    with screen.capture() as captured:
        screen.print(renderable)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def draw_line(head: "Text", rest: str) -> None:
    """One line; where the terminal is too narrow, ``rest`` goes on a second one, cut at the edge."""
    from rich.text import Text

    screen = console()
    is_narrow = screen.is_terminal and head.cell_len + len(rest) + 2 > screen.width
    if rest and not is_narrow:
        head = head.copy().append(f"  {rest}")
    draw(head)
    if rest and is_narrow:
        screen.print(Text(f"        {rest}", style="dim"), no_wrap=True, overflow="ellipsis")


def say(text: str) -> None:
    """One line on standard error: for a person, not for a program that reads the output."""
    try:
        print(clean(text), file=sys.stderr, flush=True)
    except BrokenPipeError:
        _reader_gone()


def write(text: str) -> None:
    """Text on standard output, as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


def write_json(value: Any) -> None:
    """One JSON document on one line. Models are written as the API writes them."""
    write(f"{json.dumps(as_json(value), ensure_ascii=True)}\n")


def as_json(value: Any) -> Any:
    """The JSON value of models and of what holds them."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def _reader_gone() -> NoReturn:
    # The interpreter flushes once more at the end, and would complain.
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            os.dup2(sink, stream.fileno())
    sys.exit(READER_GONE)
