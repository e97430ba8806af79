"""Checkpoints: stored away from the host before they are acknowledged; what cannot be kept is refused in words."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from runplane.contract.events import CheckpointRefused, CheckpointStored, ReportSetAside
from tests.agent_process import AgentProcess, Bench
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

LIMIT = 20.0


class Program:
    """A run that lasts until it is told; the test speaks in its place."""

    def __init__(self, agent: AgentProcess, bench: Bench, run_id: str) -> None:
        self.run_id = run_id
        self.bench = bench
        self.directory = agent.home / "agent" / "runs" / run_id / "1"

    def say(self, **report: Any) -> None:
        """Report it; as one that waits for the answer, so that it is read at once."""
        self.write(json.dumps({"wait": True, **report}).encode() + b"\n")

    def write(self, line: bytes) -> None:
        with (self.directory / "reports.jsonl").open("ab") as file:
            file.write(line)

    async def standing(self, **wanted: Any) -> dict[str, Any]:
        """What checkpoint.json says, once it says this."""
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    said: dict[str, Any] = json.loads((self.directory / "checkpoint.json").read_text())
                except OSError:
                    said = {}
                if all(said.get(name) == value for name, value in wanted.items()):
                    return said
                await asyncio.sleep(0.02)

    async def refused(self, number: int) -> str:
        async with asyncio.timeout(LIMIT):
            while True:
                refused = (await self.standing()).get("refused", {})
                if refused.get("number") == number:
                    return str(refused["why"])
                await asyncio.sleep(0.02)

    async def told(self, kind: type) -> list[Any]:
        return [one.data for _, one in await self.bench.bus.story(self.run_id) if isinstance(one.data, kind)]

    async def kept(self, digest: str) -> dict[str, Any]:
        data = await self.bench.bus.objects.get(digest)
        assert data is not None
        return dict(json.loads(data))


@pytest.fixture
async def program(agent: AgentProcess, bench: Bench, tmp_path: Path) -> Program:
    run_id = await bench.start("sleep", "600", workspace=str(tmp_path))
    await bench.until(run_id, lambda run: run.status == "running")
    return Program(agent, bench, run_id)


async def test_it_is_stored_with_its_files_before_it_is_acknowledged(
    program: Program, tmp_path: Path
) -> None:
    content = os.urandom(400_000)
    (tmp_path / "model.bin").write_bytes(content)
    program.say(checkpoint={"page": 4}, files={"model": "model.bin"}, id="77-1")
    standing = await program.standing(number=1)
    assert standing["stored"] == {"77": 1}
    (stored,) = await program.told(CheckpointStored)
    assert (stored.number, stored.files["model"].bytes) == (1, 400_000)
    kept = await program.kept(stored.digest)
    assert (kept["state"], kept["run_id"]) == ({"page": 4}, program.run_id)
    there = tmp_path / "there"
    assert await program.bench.bus.objects.fetch(kept["files"]["model"]["digest"], there)
    assert there.read_bytes() == content


async def test_what_cannot_be_kept_is_refused_and_the_one_before_stands(
    program: Program, tmp_path: Path
) -> None:
    program.say(checkpoint={"page": 1})
    await program.standing(number=1)
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(1_100 << 20)
    for number, (files, why) in enumerate(
        [
            ({"a": "/etc/passwd"}, "outside the run's working directory"),
            ({"a": "missing"}, "No such file"),
            ({"a": "."}, "no regular file"),
            ({"a": "huge.bin"}, "more than 1.0 GiB together"),
            ({"../a": "huge.bin"}, "cannot name a file"),
        ],
        2,
    ):
        program.say(checkpoint={"page": number}, files=files)
        assert why in await program.refused(number)
    program.say(checkpoint={"$file": "nowhere.json", "bytes": 3})
    assert "not JSON, larger than 16 MiB" in await program.refused(7)
    program.say(checkpoint=[1])
    program.write(b'{"checkpoint": {"text": "' + b"x" * 300_000 + b'"}}\n')
    program.write(b'{"checkpoint": {"page": NaN\n')
    program.say(checkpoint={"page": 9})
    await program.standing(number=9)
    assert [one.number for one in await program.told(CheckpointStored)] == [1, 9]
    assert len(await program.told(CheckpointRefused)) == 6
    assert sum(one.count for one in await program.told(ReportSetAside)) == 3


async def test_of_those_that_come_faster_than_they_are_stored_the_last_is_and_nobody_waits(
    program: Program, agent: AgentProcess
) -> None:
    lines = [
        json.dumps({"checkpoint": {"page": n}, "id": f"{70 + n % 2}-{n}", "wait": True}) for n in range(1, 10)
    ]
    program.write("".join(f"{line}\n" for line in lines).encode())
    standing = await program.standing(number=9)
    assert standing["stored"] == {"71": 9, "70": 8}
    told = [one.number for one in await program.told(CheckpointStored)]
    agent.kill()
    agent.start()
    program.say(checkpoint={"page": 10})
    await program.standing(number=10)
    assert [one.number for one in await program.told(CheckpointStored)] == [*told, 10]


async def test_an_agent_that_dies_tells_it_once_and_a_broker_that_is_away_delays_it(
    program: Program, agent: AgentProcess, nats_server: BrokerProcess
) -> None:
    program.say(checkpoint={"page": 1})
    await program.standing(number=1)
    agent.kill()
    program.say(checkpoint={"page": 2})
    agent.start()
    await program.standing(number=2)
    nats_server.kill()
    program.say(checkpoint={"page": 3})
    nats_server.start()
    await program.standing(number=3)
    assert [one.number for one in await program.told(CheckpointStored)] == [1, 2, 3]
