from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.output.text import OutputText

pieces = st.lists(
    st.sampled_from(
        [
            b"line\n",
            b"\x1b[31m",
            b"\x1b[0m",
            b"\x1b]0;title\x07",
            b"\x1b]8;;x\x1b\\",
            "\u20ac".encode(),
            b"\xff",
            b"\t",
        ]
    ),
    max_size=12,
)


def text_of(*chunks: bytes) -> str:
    stream = OutputText()
    return "".join(stream.take(chunk) for chunk in chunks) + stream.take(b"", final=True)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"plain\n\ttext\r\n", "plain\n\ttext\r\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;a title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bPdevice\x1b\\x", "x"),
        (b"\x1b7\x1b(Bx\x1bc", "x"),
        ("\u009b31mx".encode(), "x"),
        (b"a\x00b\x07c\x08d\x7f", "abcd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"cut off \x1b[3", "cut off 3"),
    ],
)
def test_control_sequences_are_left_out(printed: bytes, shown: str) -> None:
    assert text_of(printed) == shown


@given(pieces, st.lists(st.integers(0, 200), max_size=6))
def test_where_a_chunk_ends_makes_no_difference(printed: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(printed)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    chunks = [whole[start:end] for start, end in pairwise(places)]
    assert text_of(*chunks) == text_of(whole)


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_nothing_that_moves_a_cursor_gets_through(chunks: list[bytes]) -> None:
    shown = text_of(*chunks)
    assert all(
        character.isprintable() or character in "\t\n\r" or ord(character) > 0x9F for character in shown
    )


def test_a_sequence_without_end_is_not_kept_for_ever() -> None:
    stream = OutputText()
    for _ in range(200):
        stream.take(b"\x1b]" + b"x" * 1000)
    assert len(vars(stream)["_held"]) < 10_000
