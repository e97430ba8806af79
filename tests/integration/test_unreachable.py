"""An agent is killed: its runs say so everywhere, the log says nothing of it, and it is over when the agent is back."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agent_process import AgentProcess
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess

pytestmark = pytest.mark.anyio

LIMIT = 30.0
NAP = {"command": ["sleep", "60"]}


@pytest.fixture
def plane(nats_server: BrokerProcess, tmp_path: Path) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path / "plane", nats_server)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
def agent(nats_server: BrokerProcess, plane: ControlPlaneProcess, tmp_path: Path) -> Iterator[AgentProcess]:  # noqa: ARG001
    agent = AgentProcess(tmp_path / "agent", nats_server.url, "alpha", RUNPLANE_SAMPLE_MS="500")
    agent.start()
    yield agent
    agent.stop()


@pytest.fixture
async def api(plane: ControlPlaneProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        yield client


async def run_of(
    api: httpx.AsyncClient, run_id: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + LIMIT
    while True:
        run: dict[str, Any] = (await api.get(f"/runs/{run_id}")).json()
        if holds(run):
            return run
        assert time.monotonic() < deadline, run
        await asyncio.sleep(0.1)


async def test_a_run_whose_agent_was_killed_says_that_its_host_is_silent(
    plane: ControlPlaneProcess, agent: AgentProcess, api: httpx.AsyncClient
) -> None:
    (await api.put("/workflows/nap", json=NAP)).raise_for_status()
    run_id = (await api.post("/runs", json={"workflow": "nap"})).json()["run_id"]
    await run_of(api, run_id, lambda run: run["status"] == "running")
    agent.kill()
    run = await run_of(api, run_id, lambda run: run["status"] == "unreachable")
    (condition,) = run["conditions"]
    assert (run["status"], condition["type"], condition["verdict"]) == (
        "unreachable",
        "stuck",
        "host_unreachable",
    )
    assert condition["detail"].startswith("host alpha is not heard from since 20")
    listed = (await api.get("/runs", params={"stuck": True})).json()
    assert [one["run_id"] for one in listed["items"]] == [run_id]
    health = {check["name"]: check for check in (await api.get(f"{plane.url}/healthz")).json()["checks"]}
    assert "alpha (absent since" in health["hosts"]["detail"]
    assert "start the agent of host alpha" in health["stuck"]["todo"]
    assert (
        'runplane_runs_stuck{verdict="host_unreachable"} 1.0' in (await api.get(f"{plane.url}/metrics")).text
    )
    env = {"RUNPLANE_URL": plane.url, "RUNPLANE_TOKEN": plane.token, "PATH": "/usr/bin"}
    for arguments, said in (
        (["ps", "--stuck"], run_id),
        (["status", run_id], "stuck (host_unreachable)"),
        (["status", run_id], "runplane hosts"),
        (["status"], "not heard from: alpha"),
    ):
        shown = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "runplane.cli", *arguments],
            env=env, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert said in shown.stdout, (arguments, shown)
    agent.start()
    back = await run_of(api, run_id, lambda run: run["status"] == "running")
    assert back["conditions"] == []
    types = [item["type"] for item in (await api.get(f"/runs/{run_id}/events")).json()["items"]]
    assert "ConditionRaised" not in types
    assert [one for one in types if one in ("RunUnreachable", "RunReachable")] == [
        "RunUnreachable",
        "RunReachable",
    ]
    killed = await api.post(f"/runs/{run_id}/kill", params={"wait": 20}, json={"force": True})
    assert killed.json()["run"]["status"] == "killed"
