from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runplane.cli.watched_runs import LINGER_SECONDS, SAMPLES, Wanted, WatchedRuns
from runplane.contract.run import Run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Wanted(statuses=frozenset({"pending", "running"}))
STUCK = [{"type": "stuck", "verdict": "host_unreachable", "since": NOON}]


def run(number: int = 1, seq: int = 1, status: str = "running", **changes: Any) -> Run:
    return Run.model_validate(
        {
            "run_id": f"run_{number:012x}", "workflow": "lina", "workflow_version": 1, "status": status,
            "created_at": NOON + timedelta(seconds=number), "requested_by": "operator", "seq": seq, **changes,
        }
    )  # fmt: skip


def sampled(cpu: float, second: float, **changes: Any) -> Run:
    return run(resources={"cpu_percent": cpu, "sampled_at": NOON + timedelta(seconds=second)}, **changes)


def shown(runs: WatchedRuns) -> list[tuple[int, str, bool]]:
    return [(int(one.run.run_id[4:], 16), str(one.run.status), one.leaves_at is not None) for one in runs]


def test_the_newest_come_first_and_no_more_than_were_asked_for() -> None:
    runs = WatchedRuns(OPEN, 3)
    for number in (2, 5, 1, 4, 3):
        assert runs.take(run(number), 0)
    assert shown(runs) == [(5, "running", False), (4, "running", False), (3, "running", False)]


def test_one_that_ended_is_seen_to_end_and_then_leaves() -> None:
    runs = WatchedRuns(OPEN, 10)
    runs.take(run(), 0)
    assert runs.take(run(seq=2, status="killed"), 10)
    assert not runs.take(run(seq=3, status="killed"), 11)
    assert not runs.expire(10 + LINGER_SECONDS - 0.1)
    assert shown(runs) == [(1, "killed", True)]
    assert runs.expire(10 + LINGER_SECONDS)
    assert len(runs) == 0
    assert not runs.take(run(2, status="failed"), 20)


def test_what_comes_late_or_twice_changes_nothing() -> None:
    runs = WatchedRuns(OPEN, 10)
    runs.take(run(seq=7, status="running"), 0)
    assert not runs.take(run(seq=7, status="running"), 0)
    assert not runs.take(run(seq=3, status="pending"), 0)
    runs.sample([run(seq=5, status="pending")], 0, position=5, is_all=True)
    assert shown(runs) == [(1, "running", False)]


def test_samples_make_a_course_and_a_change_without_one_keeps_the_last() -> None:
    runs = WatchedRuns(OPEN, 10)
    runs.take(sampled(5, 1), 0)
    for second in (2, 2, 3):
        runs.sample([sampled(second * 10, second)], 0, position=9, is_all=True)
    runs.take(run(seq=2), 0)
    (one,) = runs
    assert list(one.cpu) == [5, 20, 30]
    assert one.run.resources is not None
    for second in range(10, 100):
        runs.sample([sampled(1, second, seq=2)], 0, position=9, is_all=True)
    assert len(one.cpu) == SAMPLES


def test_what_no_record_tells_is_seen_by_the_next_look() -> None:
    runs = WatchedRuns(Wanted(stuck=True), 10)
    runs.sample([run(1, conditions=STUCK), run(2, conditions=STUCK)], 0, position=5, is_all=True)
    runs.take(run(3, seq=9, conditions=STUCK), 0)
    runs.sample([run(2, conditions=STUCK)], 1, position=5, is_all=True)
    assert shown(runs) == [(3, "running", False), (2, "running", False), (1, "running", True)]
    runs.sample([run(1, conditions=STUCK)], 2, position=9, is_all=False)
    assert shown(runs)[0] == (3, "running", True)


def test_each_filter_counts() -> None:
    wanted = Wanted(statuses=frozenset({"running"}), workflow="lina", host="h1", stuck=True)
    fits: dict[str, Any] = {"host": "h1", "conditions": STUCK}
    assert wanted.matches(run(**fits))
    others: list[dict[str, Any]] = [
        {"host": "h2"}, {"host": None}, {"conditions": []}, {"workflow": "other"}, {"status": "paused"},
    ]  # fmt: skip
    for changes in others:
        assert not wanted.matches(run(**(fits | changes)))
    assert Wanted().matches(run(status="failed"))


STATUSES = st.sampled_from(["running", "pending", "failed"])


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9), STATUSES, st.floats(0, 60)), max_size=40))
def test_in_any_order_each_run_stands_as_its_newest_record_says(
    told: list[tuple[int, int, str, float]],
) -> None:
    runs = WatchedRuns(Wanted(), 10)
    newest: dict[int, tuple[int, str]] = {}
    for number, seq, status, now in told:
        if seq > newest.get(number, (0, ""))[0]:
            newest[number] = (seq, status)
        runs.take(run(number, seq, status), now)
    assert {number: status for number, status, _ in shown(runs)} == {n: s for n, (_, s) in newest.items()}
