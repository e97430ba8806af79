"""A diagnosis over HTTP, where no agent answers it by itself: who is asked, and what is said when nobody can be."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

from runplane.bus import Bus
from runplane.contract.commands import DiagnoseRun
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.envelope import Envelope
from runplane.contract.events import DiagnosisTaken, HostJoined, RunKilled, RunTerminating
from runplane.contract.run import Actor, Status
from runplane.contract.subjects import host_event, host_presence, telemetry
from runplane.contract.telemetry import HostTelemetry, Memory, Slots
from runplane.contract.value import Value
from runplane.stamp import now, stamp
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.records import HOST, claim, receipt, spawned

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def plane(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path_factory.mktemp("plane"), broker)
    plane.start()
    nap = {"command": ["sleep", "60"]}
    httpx.put(f"{plane.url}/api/v1/workflows/nap", json=nap, headers=plane.headers).raise_for_status()
    yield plane
    plane.stop()


@pytest.fixture
async def api(plane: ControlPlaneProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        yield client


@pytest.fixture
async def bus(broker: BrokerProcess) -> AsyncIterator[Bus]:
    bus = await Bus.connect(broker.url, name="test-agent")
    yield bus
    await bus.close()


async def tell(bus: Bus, run_id: str, data: Value, cause: Envelope | None = None) -> int:
    actor = Actor(principal="operator", surface="api")
    envelope = stamp(
        data, subject=host_event(HOST, run_id), source=f"host/{HOST}", actor=actor, attempt=1, cause=cause
    )
    return (await bus.publish(envelope)).seq


async def running(api: httpx.AsyncClient, bus: Bus) -> str:
    run_id = str((await api.post("/runs", json={"workflow": "nap"})).json()["run_id"])
    await tell(bus, run_id, claim().data)
    seq = await tell(bus, run_id, spawned().data)
    run = (await api.get(f"/runs/{run_id}", params={"min_seq": seq})).json()
    assert run["status"] == "running"
    return run_id


async def host_is_there(api: httpx.AsyncClient, bus: Bus) -> None:
    joined = HostJoined(
        host=HOST, agent_id="agent-1", boot_id="boot-1", pools=("default",), slots=4, version="1", platform="linux",
        cpus=2, memory_bytes=1, mechanism="subreaper",
    )  # fmt: skip
    beat = HostTelemetry(
        host=HOST, agent_id="agent-1", boot_id="boot-1", time=now(), load=(0.1, 0.1, 0.1), cpus=2,
        memory=Memory(total=1, available=1), slots=Slots(total=4, used=1), runs={},
    )  # fmt: skip
    actor = Actor(principal=HOST, surface="policy")
    await bus.publish(stamp(joined, subject=host_presence(HOST), source=f"host/{HOST}", actor=actor))
    with anyio.fail_after(20):
        while True:
            await bus.publish_bytes(telemetry(HOST), beat.model_dump_json().encode(), timeout=5)
            hosts = (await api.get("/hosts")).json()["items"]
            if [host["status"] for host in hosts] == ["online"]:
                return
            await anyio.sleep(0.02)


def seen(run_id: str, sentence: str) -> Diagnosis:
    return Diagnosis(
        run_id=run_id, workflow="nap", status=Status.RUNNING, attempt=1, host=HOST, sentence=sentence, taken_at=now(),
        stdout=("so far so good",),
    )  # fmt: skip


async def answer_when_asked(bus: Bus, run_id: str, sentence: str) -> None:
    while True:
        for _, record in await bus.story(run_id):
            if isinstance(record.data, DiagnoseRun):
                await tell(bus, run_id, DiagnosisTaken(diagnosis=seen(run_id, sentence)), cause=record)
                return
        await anyio.sleep(0.02)


async def test_a_pending_run_waits_for_a_host(api: httpx.AsyncClient) -> None:
    run_id = (await api.post("/runs", json={"workflow": "nap", "pool": "gpu"})).json()["run_id"]
    document = (await api.post(f"/runs/{run_id}/diagnose")).json()
    assert document["sentence"].startswith(
        "nap waits for a host of pool gpu, and no host serves it: start an agent"
    )
    assert (document["status"], document["processes"], document["host"]) == ("pending", [], None)
    missing = await api.get(f"/runs/{run_id}/diagnosis")
    assert (missing.status_code, missing.json()["code"]) == (404, "diagnosis_not_found")


async def test_the_host_is_asked_and_its_answer_given(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = await running(api, bus)
    await host_is_there(api, bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer_when_asked, bus, run_id, "nap sleeps.")
        response = await api.post(f"/runs/{run_id}/diagnose", params={"wait": 20})
    assert response.status_code == 200, response.text
    assert response.json()["sentence"] == "nap sleeps."
    assert (await api.get(f"/runs/{run_id}/diagnosis")).json() == response.json()
    events = (await api.get(f"/runs/{run_id}/events")).json()["items"]
    asked = next(event for event in events if event["type"] == "DiagnoseRun")
    assert (asked["actor"]["principal"], asked["actor"]["surface"]) == ("operator", "api")
    assert asked["subject"].startswith(f"rp.cmd.host.{HOST}.")


async def test_a_host_that_does_not_answer_is_said_to_be_silent(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = await running(api, bus)
    await host_is_there(api, bus)
    response = await api.post(f"/runs/{run_id}/diagnose", params={"wait": 0.5})
    assert (response.status_code, response.json()["code"]) == (503, "diagnosis_not_there")
    assert f"host {HOST} has not answered within 0.5 s" in response.json()["detail"]
    assert f"runplane diagnose {run_id} --last" in response.json()["detail"]


async def test_an_ended_run_keeps_what_was_last_seen_of_it(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = await running(api, bus)
    await tell(bus, run_id, DiagnosisTaken(diagnosis=seen(run_id, "nap sleeps.")))
    await tell(bus, run_id, RunTerminating(purpose="kill", method="force", grace_seconds=0))
    seq = await tell(bus, run_id, RunKilled(receipt=receipt()))
    await api.get(f"/runs/{run_id}", params={"min_seq": seq})
    document = (await api.post(f"/runs/{run_id}/diagnose")).json()
    assert document["sentence"].startswith("nap has ended: killed at ")
    assert document["status"] == "killed"
    assert document["stdout"] == ["so far so good"]
    assert document["unseen"][0].startswith("processes and output are as they were at ")


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/runs/run_00000000000f/diagnose", {}, 404, "run_not_found"),
        ("/runs/nonsense/diagnose", {}, 404, "run_not_found"),
        ("/runs/run_00000000000f/diagnose", {"wait": "0"}, 422, "invalid_input"),
        ("/runs/run_00000000000f/diagnose", {"wait": "61"}, 422, "invalid_input"),
        ("/runs/run_00000000000f/diagnose", {"wiat": "1"}, 422, "invalid_input"),
    ],
)
async def test_what_cannot_be_is_refused(
    api: httpx.AsyncClient, path: str, query: dict[str, Any], status: int, code: str
) -> None:
    response = await api.post(path, params=query)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_an_absent_host_is_named_and_what_was_last_seen_is_shown(
    api: httpx.AsyncClient, bus: Bus, plane: ControlPlaneProcess
) -> None:
    run_id = await running(api, bus)
    await host_is_there(api, bus)
    await tell(bus, run_id, DiagnosisTaken(diagnosis=seen(run_id, "nap sleeps.")))
    plane.stop()  # a plane that has just begun has heard of nobody
    plane.start()
    async with plane.client() as client:
        document = (await client.post(f"/runs/{run_id}/diagnose")).json()
    assert document["sentence"].startswith(
        f"nap cannot be looked at: its host {HOST} has not been heard from"
    )
    assert document["stdout"] == ["so far so good"]
