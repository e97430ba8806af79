import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.read_model import EventFilter, ReadModel
from control_plane.read_model.schema import COMPARED, connect_read_only
from runplane.bus import Message
from runplane.contract.commands import KillRun, RestartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    HostJoined,
    HostLeft,
    ProgressReported,
    RestartAccepted,
    RunCompleted,
    WorkflowApplied,
    WorkflowDeleted,
)
from runplane.contract.subjects import host_presence, workflow_event
from runplane.contract.workflow import WorkflowDefinition
from runplane.core.fold import apply, fold
from runplane.core.state import RunState
from tests.log_messages import garbage, message, messages
from tests.records import HOST, OTHER_RUN, RUN, SPEC, at, claim, numbered, on_host, record, spawned, start
from tests.strategies import envelopes, stories

LIFE = (start(), claim(), spawned(), on_host(ProgressReported(done=1, total=3)), on_host(RunCompleted()))


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "read_model.sqlite")
    yield opened
    opened.close()


def content(model: ReadModel) -> dict[str, list[tuple[object, ...]]]:
    reader = connect_read_only(model.path)
    try:
        return {
            table: reader.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
            for table, key in COMPARED.items()
        }
    finally:
        reader.close()


def test_a_batch_is_what_the_fold_says(model: ReadModel) -> None:
    model.project(messages(LIFE))

    assert model.position == len(LIFE)
    assert model.state(RUN) == fold(numbered(LIFE))


def test_what_is_stored_is_what_is_in_memory(model: ReadModel) -> None:
    model.project(messages(LIFE))
    model.close()

    again = ReadModel(model.path)

    assert again.position == len(LIFE)
    assert again.state(RUN) == fold(numbered(LIFE))
    again.close()


def test_records_that_were_folded_before_are_passed_over(model: ReadModel) -> None:
    model.project(messages(LIFE[:3]))
    model.project(messages(LIFE))
    model.project(messages(LIFE))

    assert model.state(RUN) == fold(numbered(LIFE))


@pytest.mark.parametrize("statement", ["INSERT INTO states", "INSERT INTO records", "UPDATE meta", "COMMIT"])
def test_a_crash_inside_a_transaction_leaves_all_of_it_or_nothing(tmp_path: Path, statement: str) -> None:
    model = ReadModel(tmp_path / "read_model.sqlite")
    model.project(messages(LIFE[:2]))

    class Crash(Exception):
        pass

    class Crashing:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Callable[..., object]:
            real = getattr(self._connection, name)
            if name not in ("execute", "executemany"):
                return real  # type: ignore[no-any-return]

            def call(sql: str, *values: object) -> object:
                if sql.startswith(statement):
                    raise Crash
                return real(sql, *values)

            return call

    model._projection._connection = Crashing(model._writer)  # type: ignore[assignment]
    with pytest.raises(Crash):
        model._projection._write(messages(LIFE)[2:])
    model._writer.rollback()
    model.close()

    again = ReadModel(tmp_path / "read_model.sqlite")
    assert again.position == 2
    assert again.state(RUN) == fold(numbered(LIFE[:2]))
    again.project(messages(LIFE))
    assert again.state(RUN) == fold(numbered(LIFE))
    again.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(envelopes(), max_size=25) | stories(), cut=st.integers(0, 25))
def test_batches_of_any_size_lead_to_the_same_bytes(
    records: list[Envelope], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("models")
    log = messages(records)
    whole, single, halves = (
        ReadModel(directory / f"{name}.sqlite") for name in ("whole", "single", "halves")
    )
    try:
        whole.project(log)
        for one in log:
            single.project([one])
        halves.project(log[:cut])
        halves.project(log[cut:])

        assert content(whole) == content(single) == content(halves)
        story = [(seq, one) for seq, one in numbered(records) if one.run_id == RUN]
        readable = {seq for seq, _ in whole.events(EventFilter(limit=10_000))}
        expected = fold([(seq, one) for seq, one in story if seq in readable])
        stored = whole.state(RUN)
        assert (stored.model_dump_json() if stored else None) == (
            expected.model_dump_json() if expected.event_seq or expected.run or expected.anomalies else None
        )
    finally:
        for model in (whole, single, halves):
            model.close()


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b'{"type": "RunExploded"}', "not known"),
        (start().encode().replace(b'"attempt":1', b'"attempt":NaN'), "not JSON"),
        (start().encode().replace(b'"schema_version":1', b'"schema_version":2'), "newer"),
        (start().encode(), "stands in"),
        (on_host(ProgressReported(message="x")).encode().replace(b'"x"', b'"\\ud800"'), ""),
        (b"", "not JSON"),
        (on_host(ProgressReported(done=1)).encode().replace(b'"done":1.0', b'"done":1e999'), "too large"),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_the_rest_goes_on(
    model: ReadModel, payload: bytes, why: str
) -> None:
    model.project([message(start(), 1), garbage(payload, 2), message(claim(), 3)])

    assert model.position == 3
    assert model.set_aside_count == 1
    assert model.set_aside()[0].seq == 2
    assert why in model.set_aside()[0].why
    assert model.state(RUN) == fold([(1, start()), (3, claim())])


def test_a_record_that_breaks_the_folding_is_found_and_set_aside(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from control_plane.read_model import projection

    def breaking(state: RunState, envelope: Envelope, seq: int) -> RunState:
        if envelope.type == "ProcessSpawned":
            raise RuntimeError("nobody foresaw this")
        return apply(state, envelope, seq)

    monkeypatch.setattr(projection, "apply", breaking)
    model.project(messages(LIFE))

    assert model.position == len(LIFE)
    assert [one.seq for one in model.set_aside()] == [3]
    assert "nobody foresaw" in model.set_aside()[0].why


def test_a_restart_stands_in_the_new_runs_story_and_shows_in_the_old_ones(model: ReadModel) -> None:
    restart = record(RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC), run_id=OTHER_RUN)
    accepted = record(RestartAccepted(new_run_id=OTHER_RUN))
    model.project(messages([start(), restart, accepted]))

    assert [envelope.type for _, envelope in model.story(OTHER_RUN)] == ["RestartRun"]
    shown = [[one.type for _, one in model.events(EventFilter(run_id=run))] for run in (RUN, OTHER_RUN)]
    assert shown == [["StartRun", "RestartRun", "RestartAccepted"], ["RestartRun", "RestartAccepted"]]
    new = model.run(OTHER_RUN)
    assert new is not None
    assert (new.status, new.restarted_from) == ("pending", RUN)


def registered(name: str, version: int, description: str = "") -> Envelope:
    definition = WorkflowDefinition(name=name, command=("true",), description=description)
    fact = WorkflowApplied(definition=definition, version=version, digest=description or name)
    return record(fact).model_copy(update={"subject": workflow_event(name)})


def test_the_registry_keeps_every_version_and_the_first_to_take_one_has_it(model: ReadModel) -> None:
    deleted = record(WorkflowDeleted(name="lina")).model_copy(update={"subject": workflow_event("lina")})
    model.project(
        messages([registered("lina", 1), registered("lina", 2, "two"), registered("lina", 2, "late")])
    )

    view = model.workflow("lina")
    assert view is not None
    assert (view.version, view.digest, view.seq) == (2, "two", 2)
    assert [one.version for one in model.workflow_versions("lina")] == [1, 2]

    model.project([message(deleted, 4)])
    assert model.workflow("lina") is None
    assert model.workflows() == []
    versions = model.workflow_versions("lina")
    assert [(one.version, one.deleted, one.seq) for one in versions] == [(1, True, 4), (2, True, 4)]

    model.project([message(registered("lina", 3), 5)])
    assert [one.version for one in model.workflows()] == [3]


def test_a_workflow_event_on_another_workflows_subject_registers_nothing(model: ReadModel) -> None:
    foreign = registered("lina", 1).model_copy(update={"subject": workflow_event("other")})
    model.project([message(foreign, 1)])

    assert model.workflows() == []


def joined(agent: str) -> Envelope:
    fact = HostJoined(
        host=HOST, agent_id=agent, boot_id="b", pools=("default",), slots=4, version="0.1.0", platform="linux",
        cpus=2, memory_bytes=1024, mechanism="cgroup",
    )  # fmt: skip
    return record(fact, time=at(len(agent))).model_copy(update={"subject": host_presence(HOST)})


def left(agent: str) -> Envelope:
    return record(HostLeft(host=HOST, agent_id=agent)).model_copy(update={"subject": host_presence(HOST)})


def test_the_last_agent_to_join_is_the_host(model: ReadModel) -> None:
    model.project(messages([joined("first"), joined("second"), left("first"), start(), claim()]))

    host = model.host(HOST)
    assert host is not None
    assert (host.agent_id, host.status, host.running, host.seq) == ("second", "absent", 1, 2)


def test_states_beyond_the_memory_are_read_from_the_file(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from control_plane.read_model import projection

    monkeypatch.setattr(projection, "HOT_STATES", 1)
    other = record(start().data, run_id=RUN)
    log: list[Message] = messages([start(), start(OTHER_RUN), claim(), other])
    for one in log:
        model.project([one])

    assert model.state(RUN) == fold([(1, start()), (3, claim()), (4, other)])
    assert len(model._projection._hot) == 1


def test_the_past_is_folded_from_the_stored_records(model: ReadModel) -> None:
    model.project(messages([*LIFE, record(KillRun(run_id=RUN))]))

    assert model.state_at(RUN, seq=2) == fold(numbered(LIFE[:2]))
    assert model.state_at(RUN, time=at(3.5)) == fold(numbered(LIFE[:3]))
    assert model.state_at(RUN, time=at(0)).run is None
    assert model.state_at(RUN) == model.state(RUN)
