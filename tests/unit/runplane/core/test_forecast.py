"""How fast a run comes on, and when it is expected to end: only where something was seen of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.events import ProgressReported
from runplane.contract.run import Condition, Progress, Run, Status
from runplane.core.forecast import expected_end, progressed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(*reports: tuple[float, float], total: float | None = 100.0) -> Progress:
    progress: Progress | None = None
    for second, done in reports:
        progress = progressed(progress, ProgressReported(done=done, total=total), at(second))
    assert progress is not None
    return progress


def run(**changes: Any) -> Run:
    known: dict[str, Any] = {
        "run_id": "run_00000000000a", "workflow": "lina", "workflow_version": 1, "status": Status.RUNNING,
        "created_at": NOON, "started_at": NOON, "requested_by": "ada", "seq": 1,
    }  # fmt: skip
    return Run.model_validate(known | changes)


def test_the_rate_follows_what_is_reported() -> None:
    assert told((0, 0)).rate is None
    assert told((0, 0), (10, 20)).rate == 2.0
    assert told((0, 0), (10, 20), (20, 30)).rate == pytest.approx(0.3 * 1 + 0.7 * 2)
    assert told((0, 0), (10, 20), (15, 20), (20, 30)).rate == pytest.approx(0.3 * 1 + 0.7 * 2)


def test_what_goes_back_or_counts_something_else_begins_anew() -> None:
    assert told((0, 50), (10, 60), (20, 5)).rate is None
    other = progressed(told((0, 0), (10, 20)), ProgressReported(done=30, total=900), at(20))
    assert other.rate is None


def test_the_end_is_expected_by_the_rate() -> None:
    progress = told((0, 0), (10, 20))
    assert expected_end(run(progress=progress), ()) == at(50)
    assert expected_end(run(progress=progress), (1.0, 1.0, 1.0)) == at(50)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"progress": told((0, 0))},
        {"progress": told((0, 0), (10, 1))},
        {"progress": told((0, 0), (10, 100))},
        {"progress": told((0, 0), (10, 50)), "status": Status.TERMINATING},
        {"progress": told((0, 0), (10, 50)), "conditions": (Condition(type="stuck", since=NOON),)},
        {"progress": told((0, 0), (10, 50)), "started_at": None},
    ],
)
def test_nothing_is_guessed(changes: dict[str, Any]) -> None:
    assert expected_end(run(**changes), ()) is None


def test_without_a_total_earlier_runs_tell_and_few_do_not() -> None:
    assert expected_end(run(), (10.0, 30.0, 20.0)) == at(20)
    assert expected_end(run(progress=told((0, 3), (1, 4), total=None)), (10.0, 30.0, 20.0)) == at(20)
    assert expected_end(run(), (10.0, 30.0)) is None


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(allow_nan=False)), max_size=6),
    st.none() | st.floats(0, 1e9),
)
def test_any_reports_are_taken(reports: list[tuple[float, float]], total: float | None) -> None:
    progress: Progress | None = None
    for second, done in reports:
        progress = progressed(progress, ProgressReported(done=done, total=total), at(second))
    expected_end(run(progress=progress), ())
