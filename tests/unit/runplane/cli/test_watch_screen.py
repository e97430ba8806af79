from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.cli.watch_screen import bar, draw_screen, plain_line, sparkline
from runplane.cli.watched_runs import Watched
from tests.unit.runplane.cli.test_watched_runs import NOON, run

STUCK = {
    "type": "stuck",
    "verdict": "awaiting_api",
    "since": NOON,
    "detail": "waiting\x1b[2J for 10.0.0.1:443\nnow",
}


def watched(number: int = 1, cpu: tuple[float, ...] = (), **changes: Any) -> Watched:
    return Watched(run=run(number, **changes), cpu=deque(cpu))


def lines(*runs: Watched, width: int = 120, height: int = 30, **options: Any) -> list[str]:
    drawn = draw_screen(runs, width=width, height=height, now=NOON + timedelta(minutes=4), **options)
    return [line.plain for line in drawn]


def test_a_stuck_run_says_below_itself_what_it_waits_for() -> None:
    shown = lines(
        watched(
            2,
            (0, 50, 100),
            progress={"done": 3, "total": 10, "updated_at": NOON},
            resources={"cpu_percent": 99.6, "rss_bytes": 45 * 2**20, "sampled_at": NOON},
            conditions=[STUCK],
            host="alpha",
        ),
        watched(1, status="pending"),
    )
    assert shown[0].startswith("1 pending · 1 running · 1 stuck")
    assert shown[2].split() == ["RUN", "WORKFLOW", "STATUS", "PROGRESS", "CPU", "MEM", "AGE", "HOST"]
    assert shown[3].split() == [
        "run_000000000002", "lina", "running", "███░░░░░░░", "30%", "▁▅█", "100%", "45M", "3m", "alpha",
    ]  # fmt: skip
    assert shown[4] == "  stuck 4m: waiting for 10.0.0.1:443 now"
    assert shown[5].split() == ["run_000000000001", "lina", "pending", "-", "-", "-", "3m", "-"]


@given(
    width=st.integers(1, 200), height=st.integers(1, 60), count=st.integers(0, 40), text=st.text(max_size=30)
)
def test_nothing_is_wider_or_higher_than_the_terminal(width: int, height: int, count: int, text: str) -> None:
    runs = [
        watched(
            number, (1.0,), workflow=text, conditions=[{**STUCK, "detail": text * 20}] if number % 3 else []
        )
        for number in range(count)
    ]
    drawn = draw_screen(runs, width=width, height=height, now=NOON)
    assert len(drawn) <= height
    assert all(line.cell_len <= width for line in drawn)
    assert not any(set(line.plain) & {"\x1b", "\n", "\r", "\x9b"} for line in drawn)


def test_what_does_not_fit_is_counted() -> None:
    shown = lines(*(watched(number) for number in range(50)), height=20)
    assert shown[-1] == "34 runs more below: make the window higher, or narrow the list"
    assert len(shown) == 20


def test_a_control_plane_that_is_away_is_said_on_top() -> None:
    assert lines(trouble="it is away")[0] == "it is away"
    assert lines()[-1].startswith("no run matches")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ((), ""), ((0, 100), "▁█"), ((0, 400), "▁█"), ((100, 400), "▃█"),
        (tuple(range(0, 101, 10)), "▃▄▅▅▆▇██"),
    ],
)  # fmt: skip
def test_a_full_block_is_a_core_or_the_most(values: tuple[float, ...], line: str) -> None:
    assert sparkline(values, 8) == line


def test_a_terminal_without_unicode_gets_ascii() -> None:
    one = watched(1, (0, 100), progress={"done": 1, "total": 2, "updated_at": NOON})
    assert bar(one.run, 10, ascii_only=True) == "#####.....  50%"
    assert sparkline([0, 100], 8, ascii_only=True) == "_@"
    assert all(line.isascii() for line in lines(one, ascii_only=True)[1:])


def test_in_a_pipe_a_run_is_one_line() -> None:
    assert plain_line(run(conditions=[STUCK])) == (
        "run_000000000001  lina  running  stuck (awaiting_api): waiting for 10.0.0.1:443 now"
    )
    ended = run(status="failed", exit={"code": 3})
    assert plain_line(ended) == "run_000000000001  lina  failed exit 3"
    moving = run(progress={"done": 3, "total": 10, "unit": "issues", "message": "on it", "updated_at": NOON})
    assert plain_line(moving).endswith("running  3/10 issues on it")
