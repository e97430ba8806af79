from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control_plane.context import Context
from control_plane.health.fleet import hosts, stuck
from control_plane.read_model import ReadModel
from control_plane.telemetry import Telemetry
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.contract.events import ConditionRaised, HostJoined, HostLeft
from runplane.contract.run import Condition
from runplane.contract.subjects import host_presence
from runplane.contract.telemetry import HostTelemetry
from runplane.contract.value import Value
from tests.log_messages import garbage, messages
from tests.records import HOST, NOON, OTHER_RUN, RUN, claim, record, spawned, start

pytestmark = pytest.mark.anyio


def of_host(data: Value, host: str) -> Envelope:
    return record(data, host=host).model_copy(update={"subject": host_presence(host)})


def joined(host: str) -> Envelope:
    return of_host(
        HostJoined(
            host=host, agent_id=f"agent-{host}", boot_id="b", pools=("default",), slots=4, version="0",
            platform="Linux", cpus=2, memory_bytes=1, mechanism="cgroup",
        ),
        host,
    )  # fmt: skip


def beat(host: str) -> bytes:
    return (
        HostTelemetry(host=host, agent_id=f"agent-{host}", boot_id="b", time=NOON).model_dump_json().encode()
    )


def raised(run_id: str, minutes: int, detail: str) -> Envelope:
    condition = Condition(
        type="stuck", verdict="idle", since=NOON - timedelta(minutes=minutes), detail=detail
    )
    return record(ConditionRaised(condition=condition), run_id=run_id, host=HOST, attempt=1)


def held(run_id: str) -> list[Envelope]:
    return [
        start(run_id),
        record(claim().data, run_id=run_id, host=HOST, attempt=1),
        record(spawned().data, run_id=run_id, host=HOST, attempt=1),
    ]


@pytest.fixture
def heard() -> Telemetry:
    return Telemetry(cast("Bus", None))


@pytest.fixture
def model(tmp_path: Path, heard: Telemetry) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "read_model.sqlite", heard)
    yield opened
    opened.close()


def context(model: ReadModel) -> Context:
    return cast("Context", SimpleNamespace(read_model=model))


async def test_a_host_that_is_missed_is_named_with_since_when_and_what_it_holds(
    model: ReadModel, heard: Telemetry
) -> None:
    nobody = await hosts(context(model))
    assert (nobody.status, "runplane up" in nobody.todo) == ("degraded", True)
    model.project(messages([joined(HOST), joined("h2"), *held(RUN)]))
    heard.take(garbage(beat("h2"), 1, "rp.tel.h2"), live=True)
    check = await hosts(context(model))
    assert check.status == "degraded"
    assert f"{HOST} (absent since 2026-03-01T12:00:00Z, with 1 open run)" in check.detail
    assert "h2" not in check.detail
    assert (check.figures["online"], check.figures["absent"]) == (1, 1)
    heard.take(garbage(beat(HOST), 2, f"rp.tel.{HOST}"), live=True)
    assert (await hosts(context(model))).status == "ok"


async def test_a_host_that_was_stopped_is_missed_only_while_it_holds_runs(
    model: ReadModel, heard: Telemetry
) -> None:
    heard.take(garbage(beat(HOST), 1, f"rp.tel.{HOST}"), live=True)
    model.project(
        messages([joined(HOST), joined("h2"), of_host(HostLeft(host="h2", agent_id="agent-h2"), "h2")])
    )
    assert (await hosts(context(model))).status == "ok"
    model.project(messages([of_host(HostLeft(host=HOST, agent_id=f"agent-{HOST}"), HOST), *held(RUN)], 4))
    check = await hosts(context(model))
    assert f"{HOST} (stopped since" in check.detail


async def test_many_missing_hosts_are_counted_not_all_named(model: ReadModel) -> None:
    model.project(messages([joined(f"host-{number:03}") for number in range(150)]))
    check = await hosts(context(model))
    assert "and 140 more" in check.detail
    listed: Any = check.figures["absent_hosts"]
    assert len(listed) == 10


async def test_the_run_that_is_stuck_for_longest_comes_with_its_sentence_and_what_to_type(
    model: ReadModel,
) -> None:
    assert (await stuck(context(model))).status == "ok"
    model.project(
        messages([*held(RUN), *held(OTHER_RUN), raised(RUN, 2, "newer"), raised(OTHER_RUN, 9, "it waits")])
    )
    check = await stuck(context(model))
    assert check.status == "degraded"
    assert (check.figures["stuck"], check.figures["oldest_run_id"]) == (2, OTHER_RUN)
    assert "2 runs stuck" in check.detail
    assert "since 2026-03-01T11:51:00Z: it waits" in check.detail
    assert f"runplane diagnose {OTHER_RUN}" in check.todo
