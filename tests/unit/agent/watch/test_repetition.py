"""What is a loop and what is work, from the output alone."""

import itertools
from collections.abc import Iterable

import pytest

from agent.watch.repetition import LONGEST_PERIOD, Repeat, Repetition


def found(lines: Iterable[str], end: str = "\n") -> Repeat | None:
    repetition = Repetition()
    for at, line in enumerate(lines):
        repetition.feed(f"{line}{end}".encode(), float(at))
    return repetition.found()


@pytest.mark.parametrize("period", [1, 2, 3, 7, LONGEST_PERIOD])
def test_lines_that_come_again_with_any_period(period: int) -> None:
    unit = [f"{chr(97 + number % 26)}{'x' * number} something" for number in range(period)]
    repeat = found(["this", "came", "before", *unit * 20])
    assert repeat is not None
    assert (repeat.period, repeat.cycles, repeat.is_exact) == (period, 20, True)
    assert repeat.since == pytest.approx(3 + period)


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-01T12:00:{0:02}Z nothing to do",
        "[12:00:{0:02}.123] nothing to do",
        "2026-03-01 12:00:{0:02},5 INFO nothing to do",
        "\x1b[3{0}mnothing to do\x1b[0m",
        "17{0:08}.25 nothing to do",
    ],
)
def test_times_and_colours_are_no_difference(line: str) -> None:
    repeat = found(line.format(number % 8) for number in range(40))
    assert repeat is not None
    assert (repeat.period, repeat.cycles, repeat.is_exact) == (1, 40, True)


@pytest.mark.parametrize(
    "line",
    [
        "attempt {0} failed: connection refused by 10.0.0.{1}, retrying in {1} s",
        "HTTP 503 from node {0}, backing off {1} ms",
        "[{0}] request timed out",
        "still waiting for lock ({0} s)",
        "ERROR: could not reach shard {0}",
        "GET /v1/jobs/ab{0}ef/{1}c failed: 503, request id deadbeef-abcd-abcd-abcd-abcdefabc{0:03}",
    ],
)
def test_trying_in_vain_with_other_numbers(line: str) -> None:
    repeat = found(line.format(number, number * 7 % 9) for number in range(40))
    assert repeat is not None
    assert (repeat.period, repeat.cycles, repeat.is_exact) == (1, 40, False)


@pytest.mark.parametrize(
    "line",
    [
        "heartbeat: {0} rows read",
        "epoch {0}: loss 0.{1} error 0.{0}",
        "test_{0} PASSED, 0 failed",
        "step {0}/100, failed: 0",
        "job is at {0} %",
        "176666{0:04}.5",
        "12:00:{1:02} {0}",
    ],
)
def test_numbers_that_advance_are_work(line: str) -> None:
    assert found(line.format(number, number * 7 % 9) for number in range(100)) is None


def test_a_spinner_without_line_ends() -> None:
    frames = itertools.islice(itertools.cycle("|/-\\"), 200)
    repeat = found((f"loading {frame}" for frame in frames), end="\r")
    assert repeat is not None
    assert (repeat.period, repeat.cycles) == (4, 50)


def test_a_loop_that_ends_is_none_any_more() -> None:
    assert found([*["again"] * 50, "done"]) is None
    assert found([]) is None
    assert found(["once"]) is None


def test_pieces_and_binary_are_taken_as_they_come() -> None:
    repetition = Repetition()
    content = b"\xff\xfe same line \xc3\xa9\n" * 50
    for at in range(0, len(content), 7):
        repetition.feed(content[at : at + 7], float(at))
    repeat = repetition.found()
    assert repeat is not None
    assert (repeat.period, repeat.cycles) == (1, 50)
