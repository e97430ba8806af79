"""Several agents with one host id: one of them serves, and the others are told who it is and end."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent_process import LIMIT, AgentProcess
from tests.broker_process import BrokerProcess
from tests.torture.log import Log
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio


async def all_but_one_end(agents: list[AgentProcess]) -> AgentProcess:
    """The one that serves, when the others have ended."""
    async with asyncio.timeout(LIMIT * 2):
        while len(serving := [agent for agent in agents if not agent.ended]) != 1:
            await asyncio.sleep(0.01)
    return serving[0]


async def crowd(log: Log, agents: list[AgentProcess], tally: Tally) -> None:
    """All but the last at once; then that one."""
    name = agents[0].host
    try:
        for agent in agents[:-1]:
            agent.start()
        serving = await all_but_one_end(agents[:-1])
        await log.wait(lambda: log.joined(name) == 1, f"{name} has joined")
        late = agents[-1]
        late.start()
        refused = [agent for agent in agents if agent is not serving]
        pids = {agent: agent.pid for agent in refused}
        codes = [await asyncio.to_thread(agent.wait) for agent in refused]
        for agent, code in zip(refused, codes, strict=True):
            said = agent.log.read_text()
            both = f"pid {serving.pid}" in said and f"pid {pids[agent]}" in said
            tally.held("G22", code == 1 and both, f"exit {code}: {said}")
        run = await log.ended(await log.start("true", pool=name))
        alone = log.joined(name) == 1 and not serving.ended and run.status == "completed"
        tally.held("G22", alone, f"{log.joined(name)} joined; the run is {run.status}")
    finally:
        for agent in agents:
            agent.stop()


async def test_many_agents_want_to_be_one_host(
    log: Log, nats_server: BrokerProcess, tmp_path: Path, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """Two to five agents with one host id are started at once, and another one later"""
    chance = random.Random(22)
    for number in range(many(1, 15)):
        name = f"host{number}"
        settings = {"RUNPLANE_POOLS": name, "RUNPLANE_SAMPLE_MS": "200"}
        homes = [tmp_path / f"{number}.{index}" for index in range(chance.randint(3, 6))]
        await crowd(log, [AgentProcess(home, nats_server.url, name, **settings) for home in homes], tally)
    tally.check()
