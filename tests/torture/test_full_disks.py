"""The disk is full, under each part in turn: what was asked is refused loudly, nothing is lost, and it goes on."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runplane.contract.commands import KillRun
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.running_system import RunningSystem
from tests.small_disk import small_disk
from tests.torture.fleet import Fleet, Host
from tests.torture.log import LIMIT
from tests.torture.tally import Tally
from tests.torture.verdict import Expected, judge

pytestmark = pytest.mark.anyio

STUBBORN = "echo $$ >> $1; trap '' TERM; echo line; until [ -e $2 ]; do sleep 0.02; done; exit 3"


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + LIMIT
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {LIMIT} s: {what}"
        await asyncio.sleep(0.01)


async def stubborn(host: Host) -> tuple[str, Path, Path]:
    """A run that takes no SIGTERM, where it writes its pid, and what it waits for."""
    starts, gate = host.file("starts"), host.file("gate")
    return await host.start("sh", "-c", STUBBORN, "sh", str(starts), str(gate)), starts, gate


def killed(starts: Path) -> Expected:
    return Expected(status="killed", starts=starts, signals=("SIGKILL",), output=b"line\n")


async def test_the_whole_agent_is_on_a_full_disk(fleet: Fleet, tally: Tally) -> None:
    """The disk under an agent is full, also while the agent is started anew"""
    host = fleet.host()
    with small_disk(host.agent.home / "agent", 4) as disk:
        host.agent.start()
        first, second = await stubborn(host), await stubborn(host)
        for run_id, _, _ in (first, second):
            await fleet.log.running(run_id)
        disk.fill()
        accepted = []
        while "accepts nothing new" not in host.agent.log.read_text():
            accepted.append(await stubborn(host))
            assert len(accepted) < 100, "it accepts without end"
            await asyncio.sleep(0.05)
        waiting = accepted[-1]
        tally.held("G14", fleet.log.run(waiting[0]).status == "pending", "it was accepted all the same")
        await host.order(KillRun(run_id=first[0], grace_seconds=0.1))
        await fleet.log.ended(first[0])
        host.agent.kill()
        disk.fill()
        host.agent.start()
        await host.order(KillRun(run_id=second[0], grace_seconds=0.1))
        await fleet.log.ended(second[0])
        for run_id, starts, _ in (first, second):
            await judge(tally, host, run_id, killed(starts), "killed on a full disk")
        disk.free()
        for run_id, starts, gate in accepted:
            gate.touch()
            run = await fleet.log.ended(run_id)
            if run.failure is not None and run.failure.kind == "no_resources":
                tally.held("G14", not starts.exists(), f"refused, and started: {run}")
                continue
            expected = Expected(status="failed", starts=starts, code=3, output=b"line\n")
            await judge(tally, host, run_id, expected, "started when there was room")
        tally.held("G14", not list(disk.path.glob("**/*.set-aside")), "records of the journal were torn")
        host.agent.stop()
    tally.check()


async def test_the_room_that_was_kept_is_used_up(fleet: Fleet, tally: Tally) -> None:
    """The disk under the journal is full, and so is the room that was kept for orders and endings"""
    host = fleet.host()
    with small_disk(host.agent.home / "agent" / "journal", 2) as disk:
        host.agent.start()
        (killed_id, starts, _), (ended_id, ended_starts, gate) = await stubborn(host), await stubborn(host)
        await fleet.log.running(killed_id)
        await fleet.log.running(ended_id)
        disk.fill()
        said = "comes again"
        while "will come again" not in host.agent.log.read_text():
            await asyncio.gather(
                *(host.order(KillRun(run_id=killed_id, grace_seconds=600)) for _ in range(50))
            )
        await host.order(KillRun(run_id=killed_id, force=True))
        gate.touch()
        await until(lambda: "waits to be told" in host.agent.log.read_text(), said)
        tally.held("G14", not fleet.log.run(ended_id).status.ended, "it was told without being on disk")
        disk.free()
        await fleet.log.ended(killed_id)
        await fleet.log.ended(ended_id)
        await judge(tally, host, killed_id, killed(starts), "an order that came again")
        ended = Expected(status="failed", starts=ended_starts, code=3, output=b"line\n")
        await judge(tally, host, ended_id, ended, "an end that waited")
        tally.held("G14", not list(disk.path.glob("**/*.set-aside")), "records of the journal were torn")
        host.agent.stop()
    tally.check()


async def test_run_directories_are_on_a_full_disk(fleet: Fleet, tally: Tally) -> None:
    """The disk under the run directories is full: by a run's own output, and before a run is started"""
    host = fleet.host()
    with small_disk(host.agent.home / "agent" / "runs", 2) as disk:
        host.agent.start()
        starts = host.file("starts")
        script = "echo $$ >> $1; yes 'a line of some length' 2> /dev/null; exit 5"
        filling = await host.start("sh", "-c", script, "sh", str(starts))
        await fleet.log.ended(filling)
        disk.fill()
        await judge(
            tally,
            host,
            filling,
            Expected(status="failed", starts=starts, code=5),
            "it filled the disk itself",
        )
        refused = await fleet.log.ended(await host.start("true"))
        loud = refused.failure is not None and refused.failure.kind == "no_resources"
        tally.held("G14", loud and "No space left" in str(refused.failure), f"{refused.failure}")
        disk.free()
        (host.directory(filling) / "stdout.log").unlink()
        run = await fleet.log.ended(await host.start("true"))
        tally.held("G14", run.status == "completed", f"{run}")
        host.agent.stop()
    tally.check()


async def test_the_read_model_is_on_a_full_disk(
    nats_server: BrokerProcess, tally: Tally, tmp_path: Path
) -> None:
    """The disk under the read model is full: what was accepted says so, and is there when there is room"""
    with small_disk(tmp_path / "plane", 8) as disk:
        plane = ControlPlaneProcess(disk.path, nats_server)
        plane.start()
        async with plane.client() as client:
            await client.put("/workflows/w", json={"name": "w", "command": ["true"], "workspace": "/"})
            disk.fill()
            answers: list[httpx.Response] = []
            key: dict[str, str] = {}
            while not answers or answers[-1].status_code == 201:
                key = {"Idempotency-Key": f"key-{len(answers)}"}
                answers.append(await client.post("/runs", json={"workflow": "w"}, headers=key))
                assert len(answers) < 100, "it accepts without end"
                disk.fill()
            refused = answers[-1]
            known = refused.json()
            tally.held("G14", refused.status_code == 503 and "full" in known["detail"], refused.text)
            looked = await client.get(f"/runs/{known['run_id']}")
            tally.held(
                "G14", looked.status_code == 503, f"it is said that there is no such run: {looked.text}"
            )
            ready = await client.get(f"{plane.url}/readyz")
            tally.held("G14", ready.status_code == 503, ready.text)
            plane.kill()
            disk.free()
            plane.start()
            again = await client.post("/runs", json={"workflow": "w"}, headers=key)
            tally.held("G14", again.json().get("run_id") == known["run_id"], again.text)
            listed = (await client.get("/runs", params={"limit": 1000})).json()
            tally.held("G14", listed["total"] == len(answers), f"{listed['total']} runs of {len(answers)}")
            rebuilt = await client.post("/rebuild")
            tally.held("G14", rebuilt.json().get("equal") is True, rebuilt.text)
        plane.stop()
    tally.check()


def starts(system: RunningSystem, key: str) -> httpx.Response:
    """Ask for one run."""
    headers = system.headers | {"Idempotency-Key": key}
    return httpx.post(
        f"{system.url}/api/v1/runs", json={"workflow": "w"}, headers=headers, timeout=LIMIT, trust_env=False
    )


def test_the_broker_is_on_a_full_disk(home: Path, tally: Tally, tmp_path: Path) -> None:
    """The disk under the broker is full: nothing is accepted, runs go on, and it is started again when there is room"""
    with small_disk(home / "nats", 32) as disk:
        system = RunningSystem(home)
        try:
            system.start()
            gate, ended = tmp_path / "gate", tmp_path / "ended"
            script = f"until [ -e {gate} ]; do sleep 0.05; done; touch {ended}; exit 3"
            definition = {"name": "w", "command": ["sh", "-c", script], "workspace": "/"}
            put = httpx.put(
                f"{system.url}/api/v1/workflows/w", json=definition, headers=system.headers, trust_env=False
            )
            assert put.status_code == 201, put.text
            accepted = {starts(system, "before").json()["run_id"]}
            system.until(lambda: "running" in system.run("ps", "--json").stdout, "it runs")
            disk.fill()
            number, answer = 0, starts(system, "full-0")
            while answer.status_code == 201:
                accepted.add(answer.json()["run_id"])
                number, answer = number + 1, starts(system, f"full-{number + 1}")
                disk.fill()
                assert number < 100, "it accepts without end"
            tally.held("G14", answer.status_code == 503, answer.text)
            gate.touch()
            system.until(ended.exists, "the run has gone on")
            system.until(lambda: "Nothing is accepted until there is room" in system.output(), "it is said")
            before = system.endpoint.pids["nats"]
            disk.free()
            system.until(lambda: system.endpoint.pids.get("nats") not in (None, before), "another broker")
            system.wait_ready()
            again = starts(system, f"full-{number}")
            tally.held("G14", again.status_code == 201, again.text)
            accepted.add(again.json()["run_id"])
            system.until(lambda: system.run("ps", "--json").stdout.count('"run_id"') == 0, "all have ended")
            runs = json.loads(system.run("ps", "--all", "--json", "--limit", "1000").stdout)["items"]
            found = {run["run_id"]: (run["status"], run["exit"]["code"]) for run in runs}
            tally.held("G14", found == dict.fromkeys(accepted, ("failed", 3)), f"{found} of {accepted}")
            rebuilt = json.loads(system.run("rebuild", "--json").stdout)
            tally.held("G14", rebuilt["equal"] is True, f"{rebuilt}")
        finally:
            system.end()
        assert system.leftovers() == []
    tally.check()
