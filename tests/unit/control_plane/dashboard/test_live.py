import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from control_plane.context import Context
from control_plane.dashboard.live import TICKS_KEPT, LiveRows, row_of
from runplane.contract.run import Condition, Progress, Resources, Run, Status

AT = datetime(2026, 3, 1, 14, 2, 11, tzinfo=UTC)
MILLIS = 1_772_373_731_000


def run(**told: Any) -> Run:
    given = {"run_id": "run_0123456789ab", "workflow": "lina", "workflow_version": 1, "status": Status.RUNNING,
             "created_at": AT, "requested_by": "operator", "seq": 7}  # fmt: skip
    return Run(**{**given, **told})


def test_a_row_holds_plain_values_only() -> None:
    row = row_of(
        run(
            host="h1",
            started_at=AT + timedelta(seconds=1),
            progress=Progress(done=1, total=3, message="<b>one</b>", updated_at=AT),
            resources=Resources(cpu_percent=12.6, rss_bytes=2**20, sampled_at=AT),
        )
    )

    assert row == {
        "run_id": "run_0123456789ab", "seq": 7, "workflow": "lina", "status": "running", "stuck": None,
        "share": 0.333, "progress": "1 / 3 · <b>one</b>", "created": MILLIS, "started": MILLIS + 1000, "ended": None,
        "host": "h1", "cpu": 13, "memory": 2**20, "by": "operator", "spark": [],
    }  # fmt: skip


def test_of_an_ended_run_no_sample_is_shown() -> None:
    row = row_of(run(status=Status.FAILED, ended_at=AT, resources=Resources(rss_bytes=5, sampled_at=AT)))

    assert (row["cpu"], row["memory"], row["ended"], row["share"]) == (None, None, MILLIS, None)


def test_a_completed_run_that_reported_no_progress_is_wholly_done() -> None:
    assert row_of(run(status=Status.COMPLETED))["share"] == 1.0
    half = Progress(done=1, total=2, updated_at=AT)
    assert row_of(run(status=Status.COMPLETED, progress=half))["share"] == 0.5


@pytest.mark.parametrize(("verdict", "said"), [("waiting_for_input", "waiting for input"), (None, "stuck")])
def test_a_stuck_run_says_how(verdict: str | None, said: str) -> None:
    conditions = (Condition(type="other", since=AT), Condition(type="stuck", verdict=verdict, since=AT))

    assert row_of(run(conditions=conditions))["stuck"] == said
    assert row_of(run(conditions=conditions[:1]))["stuck"] is None


class Rows(LiveRows):
    """Without a context: rows are put by hand."""

    def __init__(self) -> None:
        super().__init__(cast("Context", None))

    def put(self, *runs: Run) -> None:
        for one in runs:
            self._show(row_of(one))
        self.tick()


def ticks(rows: LiveRows, turn: int) -> list[Any] | None:
    kept = rows.since(turn)
    return None if kept is None else [json.loads(tick) for tick in kept]


def test_a_tick_tells_new_rows_whole_and_of_known_ones_what_changed() -> None:
    rows = Rows()
    rows.put(run(host="h1"))
    rows.put(run(host="h1", status=Status.COMPLETED, seq=9))
    told = ticks(rows, 0)
    assert told is not None
    first, second = told
    assert first == [[row_of(run(host="h1"))], []]
    assert second == [[{"run_id": "run_0123456789ab", "seq": 9, "status": "completed", "share": 1.0}], []]
    assert ticks(rows, 1) == [second]
    assert ticks(rows, 2) == []
    assert rows.rows() == [row_of(run(host="h1", status=Status.COMPLETED, seq=9))]


def test_nothing_new_is_no_tick_but_wakes_who_looks_at_hosts() -> None:
    rows = Rows()
    rows.put(run())
    rows.put(run())
    assert rows.turn == 1


def test_a_viewer_too_far_behind_begins_again_and_nothing_grows() -> None:
    rows = Rows()
    for seq in range(1, 3 * TICKS_KEPT):
        rows.put(run(seq=seq))
    assert ticks(rows, rows.turn - TICKS_KEPT - 1) is None
    assert len(ticks(rows, rows.turn - TICKS_KEPT) or ()) == TICKS_KEPT
