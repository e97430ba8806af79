from datetime import UTC, datetime
from typing import Literal

from control_plane.api.documents import OutputItem
from control_plane.dashboard.output_view import _LastPart
from control_plane.output import Chunk


def chunk(text: str, stream: Literal["stdout", "stderr"] = "stdout", attempt: int = 1) -> Chunk:
    item = OutputItem.model_construct(
        stream=stream, attempt=attempt, offset=0, time=datetime.now(UTC), text=text
    )
    return Chunk(seq=1, item=item, size=len(text), ended=False)


def test_what_fits_is_kept_whole_and_in_order() -> None:
    part = _LastPart(100)
    for one in (chunk("one\n"), chunk("two\n", "stderr"), chunk(""), chunk("three", attempt=2)):
        part.add(one)

    assert part.take() == [(1, "stdout", "one\n"), (1, "stderr", "two\n"), (2, "stdout", "three")]
    assert part.skipped == 0


def test_of_more_the_last_part_is_kept_and_the_rest_counted() -> None:
    part = _LastPart(10)
    for number in range(1000):
        part.add(chunk(f"{number:04}"))

    assert "".join(text for _, _, text in part.take()) == "9709980999"
    assert part.skipped == 3990


def test_marks_that_turn_the_reading_direction_are_taken_out() -> None:
    part = _LastPart(100)
    part.add(chunk("safe\u202etxt.exe\u2066"))

    assert part.take() == [(1, "stdout", "safetxt.exe")]
