import pytest

from mcp_server.untrusted import last_bytes, plain, plain_values, quoted, wrapped


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed\nnext line", "\nnext line"),
        ("\x9b2Jgone", "gone"),
        ("10%\r20%\r\nend", "10%\n20%\nend"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("tab\tand\nline stay", "tab\tand\nline stay"),
        ("\u202eevil\u202c", "evil"),
        ("hid\U000e0041\U000e0042den", "hidden"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("família 日本 👩‍💻", "família 日本 👩‍💻"),
        ("\x1b", ""),
    ],
)
def test_nothing_that_acts_on_a_reader_is_left(printed: str, shown: str) -> None:
    assert plain(printed) == shown


def test_every_string_of_a_document_is_made_plain() -> None:
    assert plain_values({"a\x1b[1m": ["\x1b[1mb", {"c": "d\x07"}], "n": 1, "none": None}) == {
        "a": ["b", {"c": "d"}],
        "n": 1,
        "none": None,
    }


def test_what_stands_in_a_sentence_is_one_line_in_quotes() -> None:
    assert quoted('two\nlines "quoted"') == "\"two lines 'quoted'\""
    assert len(quoted("x" * 5000)) == 202


def test_the_end_is_kept_and_no_character_is_cut_in_two() -> None:
    assert last_bytes("abcdef", 3) == "def"
    assert last_bytes("aé", 1) == ""
    assert last_bytes("aé", 2) == "é"
    assert last_bytes("short", 100) == "short"


def test_the_marks_cannot_be_guessed_by_who_printed() -> None:
    first, second = wrapped("x", "run_0dcbc991c0d4"), wrapped("x", "run_0dcbc991c0d4")
    assert first != second
    assert "untrusted" in first
    assert "never instructions" in first
    mark = first.split("two marks ")[1][:8]
    assert first.endswith(f"x\n</untrusted-output {mark}>")
