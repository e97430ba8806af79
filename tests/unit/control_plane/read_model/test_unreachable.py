from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control_plane.command_side.bulk import _is_meant
from control_plane.command_side.requests import KillRunsRequest
from control_plane.read_model import ReadModel, RunFilter
from control_plane.telemetry import ABSENT_SECONDS, Telemetry
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.contract.events import ConditionRaised, HostJoined, HostLeft, RunCompleted
from runplane.contract.run import Condition
from runplane.contract.subjects import host_presence
from runplane.contract.telemetry import HostTelemetry
from runplane.contract.value import Value
from tests.log_messages import garbage, messages
from tests.records import HOST, NOON, OTHER_RUN, RUN, at, record, spawned, start
from tests.records import claim as claimed

pytestmark = pytest.mark.anyio

PENDING = "run_0000000000ff"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """Heartbeats by a clock that the test moves, of a broker that can go away."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.broker = SimpleNamespace(connected=True)
        self.telemetry = Telemetry(cast("Bus", self.broker), self.clock)

    def beat(self, host: str) -> None:
        said = HostTelemetry(host=host, agent_id=f"agent-{host}", boot_id="b", time=NOON)
        payload = said.model_dump_json().encode()
        self.telemetry.take(garbage(payload, 60, f"rp.tel.{host}"), live=True)

    def later(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def heard() -> Heard:
    heard = Heard()
    heard.telemetry.listen_anew()
    return heard


def of_host(data: Value, host: str) -> Envelope:
    return record(data, host=host, time=at(7)).model_copy(update={"subject": host_presence(host)})


def joined(host: str) -> Envelope:
    fact = HostJoined(
        host=host, agent_id=f"agent-{host}", boot_id="b", pools=("default",), slots=4, version="0",
        platform="Linux", cpus=2, memory_bytes=1, mechanism="cgroup",
    )  # fmt: skip
    return of_host(fact, host)


def held(run_id: str, host: str) -> list[Envelope]:
    claim = claimed(host).data
    return [
        start(run_id),
        record(claim, run_id=run_id, host=host, attempt=1),
        record(spawned().data, run_id=run_id, host=host, attempt=1),
    ]


@pytest.fixture
def model(tmp_path: Path, heard: Heard) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "read_model.sqlite", heard.telemetry)
    opened.project(
        messages([joined(HOST), joined("h2"), *held(RUN, HOST), *held(OTHER_RUN, "h2"), start(PENDING)])
    )
    yield opened
    opened.close()


def verdicts(model: ReadModel, run_id: str) -> list[str | None]:
    run = model.run(run_id)
    assert run is not None
    return [condition.verdict for condition in run.conditions]


def stuck(model: ReadModel, **asked: Any) -> list[str]:
    return sorted(run.run_id for run in model.runs(RunFilter(stuck=True, **asked)).items)


def test_a_run_of_a_silent_host_says_so_until_it_is_heard_again(model: ReadModel, heard: Heard) -> None:
    heard.beat(HOST)
    heard.beat("h2")
    heard.later(ABSENT_SECONDS - 1)
    heard.beat("h2")
    heard.later(2)
    assert (verdicts(model, RUN), verdicts(model, OTHER_RUN)) == (["host_unreachable"], [])
    assert stuck(model) == [RUN]
    assert stuck(model, host="h2") == []
    assert sorted(run.run_id for run in model.runs(RunFilter(stuck=False)).items) == [OTHER_RUN, PENDING]
    assert model.stuck_counts() == {"host_unreachable": 1}
    run = model.run(RUN)
    assert run is not None
    assert run.status == "running"
    assert "host h1 is not heard from since 2026-03-01 12:01:00 UTC" in run.conditions[0].detail
    assert "runplane hosts" in run.conditions[0].detail
    heard.beat(HOST)
    assert (verdicts(model, RUN), stuck(model), model.stuck_counts()) == ([], [], {"host_unreachable": 0})


def test_nobody_is_called_silent_before_there_was_time_to_speak(model: ReadModel, heard: Heard) -> None:
    heard.later(ABSENT_SECONDS)
    assert stuck(model) == []
    heard.later(0.1)
    assert stuck(model) == sorted([RUN, OTHER_RUN])
    run = model.run(RUN)
    assert run is not None
    assert run.conditions[0].since == at(7)  # it joined then, and no heartbeat is known
    heard.broker.connected = False
    assert stuck(model) == []
    heard.broker.connected = True
    heard.telemetry.listen_anew()
    assert stuck(model) == []


def test_a_host_that_was_stopped_is_told_as_such(model: ReadModel, heard: Heard) -> None:
    model.project(messages([of_host(HostLeft(host=HOST, agent_id=f"agent-{HOST}"), HOST)], first_seq=10))
    heard.later(ABSENT_SECONDS + 1)
    run = model.run(RUN)
    assert run is not None
    assert "(its agent was stopped)" in run.conditions[0].detail


def test_what_has_ended_or_is_held_by_nobody_is_left_alone(model: ReadModel, heard: Heard) -> None:
    model.project(messages([record(RunCompleted(), run_id=RUN, host=HOST, attempt=1)], first_seq=10))
    heard.later(ABSENT_SECONDS + 1)
    assert (verdicts(model, RUN), verdicts(model, PENDING)) == ([], [])
    assert stuck(model) == [OTHER_RUN]


def test_an_earlier_verdict_stays_behind_it_and_counts_once(model: ReadModel, heard: Heard) -> None:
    raised = ConditionRaised(condition=Condition(type="stuck", verdict="idle", since=NOON))
    model.project(messages([record(raised, run_id=RUN, host=HOST, attempt=1)], first_seq=10))
    heard.beat("h2")
    heard.later(1)
    assert model.stuck_counts() == {"idle": 1, "host_unreachable": 0}
    heard.later(ABSENT_SECONDS)
    heard.beat("h2")
    assert verdicts(model, RUN) == ["host_unreachable", "idle"]
    assert model.stuck_counts() == {"host_unreachable": 1}
    state = model.state(RUN)
    assert state is not None
    assert state.run is not None
    assert [condition.verdict for condition in state.run.conditions] == ["idle"]


def test_a_bulk_kill_of_stuck_runs_leaves_those_of_silent_hosts(model: ReadModel, heard: Heard) -> None:
    raised = ConditionRaised(condition=Condition(type="stuck", verdict="idle", since=NOON))
    model.project(messages([record(raised, run_id=RUN, host=HOST, attempt=1)], first_seq=10))
    heard.later(ABSENT_SECONDS + 1)
    request = KillRunsRequest.model_validate({"selector": {"stuck": True}, "reason": "x"})
    meant = [run.run_id for run in model.runs(RunFilter(stuck=True)).items if _is_meant(run, request)]
    assert meant == [RUN]


def test_a_thousand_runs_of_a_silent_host_put_nothing_into_the_log(tmp_path: Path, heard: Heard) -> None:
    model = ReadModel(tmp_path / "many.sqlite", heard.telemetry)
    log = [joined(HOST), *(one for number in range(1_000) for one in held(f"run_{number:012x}", HOST))]
    model.project(messages(log))
    heard.later(ABSENT_SECONDS + 1)
    page = model.runs(RunFilter(stuck=True, limit=1))
    assert (page.total, model.stuck_counts(), model.position) == (1_000, {"host_unreachable": 1_000}, 3_001)
    model.close()
