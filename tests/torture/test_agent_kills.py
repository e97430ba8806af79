"""Agents are killed -9 at random moments, over and over, while runs begin, go on, end and are ended."""

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from runplane.contract.commands import KillRun
from tests.torture.fleet import Fleet, Host
from tests.torture.tally import Tally
from tests.torture.verdict import Expected, judge

pytestmark = pytest.mark.anyio

RUNS = 10
LANES = 2
COUNTING = """
import os, sys, time
starts, lines, pause, code = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
with open(starts, "a") as file:
    file.write(f"{os.getpid()}\\n")
for number in range(lines):
    os.write(1, b"line %d\\n" % number)
    time.sleep(pause)
sys.exit(code)
"""
FOR_EVER = 10**9


@dataclass(frozen=True)
class Wave:
    """Runs of one host, whose agent is killed ``kills`` times within about ``seconds``."""

    host: Host
    kills: int
    seconds: float
    chance: random.Random

    async def go(self) -> list[tuple[str, Expected]]:
        self.host.agent.start()
        killing = asyncio.create_task(self._kill_agents())
        runs = await asyncio.gather(*(self._run(number) for number in range(RUNS)))
        await killing
        for run_id, _ in runs:
            await self.host.log.ended(run_id)
        return runs

    async def _kill_agents(self) -> None:
        for _ in range(self.kills):
            await asyncio.sleep(self.chance.uniform(0.3, 2 * self.seconds / self.kills - 0.3))
            self.host.agent.kill()
            self.host.agent.start()

    async def _run(self, number: int) -> tuple[str, Expected]:
        """Every third is killed, the others end by themselves, each with a code of its own."""
        await asyncio.sleep(self.chance.uniform(0, self.seconds / 2))
        starts, pause = self.host.file("starts"), 0.02
        lines = self.chance.randrange(1, int(self.seconds / 2 / pause))
        if number % 3:
            run_id = await self._order(starts, lines, pause, number)
            output = b"".join(b"line %d\n" % line for line in range(lines))
            return run_id, Expected(status="failed", starts=starts, code=number, output=output)
        run_id = await self._order(starts, FOR_EVER, pause, 0)
        await self.host.log.running(run_id)
        await asyncio.sleep(self.chance.uniform(0, self.seconds / 2))
        await self.host.order(KillRun(run_id=run_id, grace_seconds=self.chance.choice([0.0, 1.0])))
        return run_id, Expected(status="killed", starts=starts, signals=("SIGTERM", "SIGKILL"))

    async def _order(self, starts: object, lines: int, pause: float, code: int) -> str:
        arguments = (str(starts), str(lines), str(pause), str(code))
        return await self.host.start(sys.executable, "-S", "-c", COUNTING, *arguments)


async def test_agents_are_killed_again_and_again(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """The agent is killed -9 at a random moment, with ten runs that begin, go on, end and are killed meanwhile"""
    chance = random.Random(11)
    waves, kills = many(1, 5), many(4, 40)
    lanes = asyncio.Semaphore(LANES)

    async def wave() -> None:
        async with lanes:
            host = fleet.host()
            runs = await Wave(host, kills, kills * 1.2, chance).go()
            for run_id, expected in runs:
                await judge(tally, host, run_id, expected, f"{host.name} {run_id}")
            host.agent.stop()

    await asyncio.gather(*(wave() for _ in range(waves)))
    for _ in range(waves * kills):
        tally.tried["agents killed"] += 1
    tally.check()
