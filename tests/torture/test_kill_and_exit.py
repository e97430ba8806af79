"""A kill and a natural end within twenty milliseconds of one another, on the whole system: all agree on one ending."""

import asyncio
import json
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from runplane.bus import Bus
from tests.running_system import RunningSystem
from tests.torture.log import LIMIT, Log
from tests.torture.tally import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AT_ONCE = 3
SPREAD_SECONDS = 0.02
USUAL_SECONDS = 0.005
"""What it takes from asking for a kill to its first signal, about: so that the two meet."""
WORKFLOW = {
    "name": "race",
    "command": ["sh", "-c", 'echo $2 > "$1.code"; read line < "$1.gate"; exit $2', "sh", "{place}", "{code}"],
    "params": {"type": "object", "properties": {"place": {"type": "string"}, "code": {"type": "integer"}}},
    "workspace": "/",
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Race:
    """One run, and the code with which its program meant to end."""

    run_id: str
    code: int


class Api:
    """The HTTP API of the running system."""

    def __init__(self, system: RunningSystem) -> None:
        self.client = httpx.AsyncClient(
            base_url=f"{system.url}/api/v1", headers=system.headers, timeout=LIMIT, trust_env=False
        )

    async def call(self, method: str, path: str, body: Json | None = None, **params: Any) -> Json:
        answer = await self.client.request(method, path, json=body, params=params)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())


async def opened(gate: Path) -> int:
    """The gate's writing end, once the program waits at the other."""
    deadline = asyncio.get_running_loop().time() + LIMIT
    while True:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert asyncio.get_running_loop().time() < deadline, f"nobody reads {gate}"
            await asyncio.sleep(0.002)


async def race(api: Api, place: Path, number: int, chance: random.Random) -> Race:
    """Let it end and have it killed, one a little before the other."""
    code, stem = number % 100, place / str(number)
    gate = stem.with_suffix(".gate")
    os.mkfifo(gate)
    params = {"place": str(stem), "code": code}
    run_id = str((await api.call("POST", "/runs", {"workflow": "race", "params": params}))["run_id"])
    descriptor = await opened(gate)
    end_in = chance.uniform(-SPREAD_SECONDS, SPREAD_SECONDS) + USUAL_SECONDS
    force = chance.random() < 0.5

    async def end() -> None:
        await asyncio.sleep(max(0.0, end_in))
        try:
            os.write(descriptor, b"go\n")
        except BrokenPipeError:
            pass  # it was killed first
        finally:
            os.close(descriptor)

    async def kill() -> None:
        await asyncio.sleep(max(0.0, -end_in))
        await api.call("POST", f"/runs/{run_id}/kill", {"force": force, "grace_seconds": LIMIT}, wait=LIMIT)

    await asyncio.gather(end(), kill())
    return Race(run_id, code)


def agreed(found: dict[str, Json | None]) -> bool:
    """Whether all surfaces tell the same ending."""
    told = {
        json.dumps([run and [run[field] for field in ("status", "exit", "failure", "ended_at")]])
        for run in found.values()
    }
    return len(told) == 1


def true_ending(run: Json, truth: Json, code: int) -> str | None:
    """What is wrong with the ending, held against what the kernel said and the program meant; None where nothing is."""
    told = run["exit"] or {}
    if (told.get("code"), told.get("signal")) != (truth["code"], truth["signal"]):
        return f"told {told}, the kernel said {truth}"
    if os.waitstatus_to_exitcode(truth["wait_status"]) not in (code, -9, -15):
        return f"it meant to end with {code}, and ended with {truth}"
    match run["status"]:
        case "killed":
            receipt = run["kill_receipt"]
            return None if receipt and receipt["verified"] else f"killed without proof: {receipt}"
        case "failed" | "completed":
            by_itself = truth["code"] == code and (run["status"] == "completed") == (code == 0)
            return None if by_itself else f"{run['status']} with {truth} ({run['failure']})"
    return f"it ended as {run['status']}"


async def everything_told(
    system: RunningSystem, api: Api, log: Log, races: list[Race]
) -> list[dict[str, Json | None]]:
    """Each run as the log, the API, the command line and the read model's own file tell it."""
    listed = system.run("ps", "--all", "--json", "--limit", "10000")
    assert listed.returncode == 0, listed.stderr
    by_cli = {run["run_id"]: run for run in json.loads(listed.stdout)["items"]}
    with sqlite3.connect(system.home.path / "control_plane" / "read_model.sqlite") as model:
        states = dict(model.execute("SELECT run_id, state FROM states").fetchall())
    return [
        {
            "log": json.loads(log.run(one.run_id).model_dump_json()),
            "api": await api.call("GET", f"/runs/{one.run_id}"),
            "cli": by_cli.get(one.run_id),
            "read model": json.loads(states[one.run_id])["run"],
        }
        for one in races
    ]


async def test_a_kill_and_a_natural_end_meet(
    system: RunningSystem, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """A run is killed within 20 ms of its natural end; the log, the API, the command line and the read model agree"""
    chance, at_once, api = random.Random(3), asyncio.Semaphore(AT_ONCE), Api(system)
    await api.call("PUT", "/workflows/race", WORKFLOW)

    async def run_one(number: int) -> Race:
        async with at_once:
            return await race(api, tmp_path, number, chance)

    races = await asyncio.gather(*(run_one(number) for number in range(many(15, 500))))
    bus = await Bus.connect(system.endpoint.nats_url, name="test")
    async with Log.follow(bus) as log:
        await log.settled()
        told = await everything_told(system, api, log, races)
        endings = {one.run_id: log.endings(one.run_id) for one in races}
    await bus.close()
    await api.client.aclose()
    for one, found in zip(races, told, strict=True):
        run = found["log"] or {}
        unanimous = len(endings[one.run_id]) == 1 and run["anomalies"] == 0 and agreed(found)
        tally.held("G15", unanimous, f"{one.run_id}: {endings[one.run_id]} told as {found}")
        truth = json.loads((system.home.path / "agent" / "runs" / one.run_id / "1" / "exit.json").read_text())
        wrong = true_ending(run, truth, one.code)
        tally.held("G11", wrong is None, f"{one.run_id}: {wrong}")
    statuses = Counter(found["log"]["status"] for found in told if found["log"])
    assert len(races) < 100 or min(statuses["killed"], statuses["failed"]) > len(races) / 20, statuses
    tally.check()
