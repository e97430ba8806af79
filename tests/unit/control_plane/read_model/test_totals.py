import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.read_model import ReadModel
from control_plane.read_model.totals import _KILLS, _STARTS, BOUNDS, Totals
from runplane.contract.commands import KillRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import OutcomeOverridden, RunCompleted, RunKilled
from tests.log_messages import messages
from tests.records import OTHER_RUN, RUN, claim, on_host, receipt, record, spawned, start
from tests.strategies import envelopes, stories

ORDER = record(KillRun(run_id=RUN), command_id="c" * 32)
KILLED = on_host(RunKilled(receipt=receipt()), command_id="c" * 32)


def told(totals: Totals) -> tuple[object, ...]:
    return (
        {kind: count for kind, count in totals.records.items() if count},
        dict(totals.endings),
        totals.starts.counts,
        totals.kills.counts,
        round(totals.starts.sum_seconds, 6),
        round(totals.kills.sum_seconds, 6),
    )


def model_of(directory: Path, *records: Envelope) -> ReadModel:
    model = ReadModel(directory / "read_model.sqlite")
    model.project(messages(records))
    return model


def test_durations_are_between_moments_of_the_broker(tmp_path: Path) -> None:
    model = model_of(tmp_path, start(), claim(), spawned(), ORDER, KILLED)
    totals = model.totals
    assert (totals.starts.sum_seconds, totals.kills.sum_seconds) == (2.0, 1.0)
    assert totals.starts.counts[BOUNDS.index(2.5)] == 1
    assert totals.kills.counts[BOUNDS.index(1.0)] == 1
    model.close()


def test_what_comes_late_or_again_ends_nothing_twice(tmp_path: Path) -> None:
    again = OutcomeOverridden(outcome="failed", observed="x", replaced=True)
    model = model_of(
        tmp_path, start(), claim(), spawned(), ORDER, KILLED, on_host(RunCompleted()), spawned(), record(again),
        record(RunCompleted(), run_id=OTHER_RUN),
    )  # fmt: skip
    run = model.run(RUN)
    assert run is not None
    assert run.status == "failed"
    assert model.totals.endings == {("lina", "killed"): 1}
    assert (sum(model.totals.starts.counts), sum(model.totals.kills.counts)) == (1, 1)
    assert model.totals.records["ProcessSpawned"] == 2
    model.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(envelopes(), max_size=20) | stories(), cut=st.integers(0, 20))
def test_a_restart_changes_no_figure(
    records: list[Envelope], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = model_of(tmp_path_factory.mktemp("totals"), *records[:cut])
    model.project(messages(records))
    again = ReadModel(model.path)
    assert told(again.totals) == told(model.totals)
    assert again.totals.records == Counter(record.type for record in records)
    again.close()
    model.close()


def test_figures_do_not_change_what_is_stored(tmp_path: Path) -> None:
    model = model_of(tmp_path, start())
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        model.totals._reader.execute("DELETE FROM records")
    model.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [(_STARTS, "records_by_run (run_id=?)"), (_KILLS, "records_by_command (command_id=?)")],
)
def test_each_duration_is_looked_up_and_not_searched_for(tmp_path: Path, query: str, index: str) -> None:
    model = model_of(tmp_path, start())
    plan = [row[3] for row in model.totals._reader.execute(f"EXPLAIN QUERY PLAN {query}")]
    inner = plan[next(number for number, line in enumerate(plan) if "CORRELATED" in line) + 1]
    assert inner == f"SEARCH records USING INDEX {index}"
    model.close()
