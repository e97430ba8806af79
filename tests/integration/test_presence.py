"""One agent at a time serves as a host: real agents, killed, stopped and started at once."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runplane.bus import Bus
from runplane.contract.commands import KillRun
from runplane.contract.envelope import parse
from runplane.contract.events import HostJoined, HostLeft
from runplane.contract.subjects import LOG_STREAM, TELEMETRY_STREAM, host_presence, telemetry
from tests.agent_process import LIMIT, AgentProcess, Bench, alive
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

AgentMaker = Callable[[str], AgentProcess]


@pytest.fixture
def agent_in(nats_server: BrokerProcess, tmp_path: Path) -> Iterator[AgentMaker]:
    """Agents of one host id, each in a home of its own, that beat five times a second."""
    made: list[AgentProcess] = []

    def make(home: str) -> AgentProcess:
        agent = AgentProcess(tmp_path / home, nats_server.url, RUNPLANE_SAMPLE_MS="200")
        made.append(agent)
        agent.start()
        return agent

    yield make
    for agent in made:
        agent.stop()


@pytest.fixture
async def bench(nats_server: BrokerProcess) -> AsyncIterator[Bench]:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    yield Bench(bus)
    await bus.close()


async def presence(bench: Bench) -> list[HostJoined | HostLeft]:
    facts = []
    for message in await bench.bus.read_once(LOG_STREAM, host_presence(bench.host)):
        fact = parse(message.payload, message.subject).data
        assert isinstance(fact, HostJoined | HostLeft)
        facts.append(fact)
    return facts


async def joined(bench: Bench, agent: AgentProcess) -> HostJoined:
    """Wait until this agent has joined."""
    deadline = time.monotonic() + LIMIT
    while True:
        for fact in await presence(bench):
            if isinstance(fact, HostJoined) and fact.agent is not None and fact.agent.pid == agent.pid:
                return fact
        assert time.monotonic() < deadline, agent.log.read_text()
        await asyncio.sleep(0.02)


async def beats(bench: Bench, count: int) -> None:
    """Wait until the host was heard from so often since now."""
    reader = bench.bus.read_telemetry(host=bench.host)
    seen = -1  # the last one of before comes first
    deadline = time.monotonic() + LIMIT
    while seen < count:
        assert time.monotonic() < deadline
        seen += len(await reader.next(timeout=1.0))
    await reader.close()


async def test_the_second_agent_of_a_host_is_refused_and_both_are_named(
    bench: Bench, agent_in: AgentMaker
) -> None:
    first = agent_in("one")
    await joined(bench, first)
    second = agent_in("two")
    pid = second.pid
    assert await asyncio.to_thread(second.wait) == 1
    said = second.log.read_text()
    for name in (
        f"pid {first.pid}",
        f"{first.home}/agent",
        f"pid {pid}",
        f"{second.home}/agent",
        "--host-id",
    ):
        assert name in said
    assert [type(fact).__name__ for fact in await presence(bench)] == ["HostJoined"]
    run = await bench.ended(await bench.start("true"))
    assert run.status == "completed"


async def test_of_two_that_start_at_once_one_serves(bench: Bench, agent_in: AgentMaker) -> None:
    agents = [agent_in("one"), agent_in("two"), agent_in("three")]
    pids = [agent.pid for agent in agents]
    waits = [asyncio.create_task(asyncio.to_thread(agent.wait)) for agent in agents]
    done: set[asyncio.Task[int]] = set()
    async with asyncio.timeout(LIMIT):
        while len(done) < 2:
            finished, _ = await asyncio.wait(set(waits) - done, return_when=asyncio.FIRST_COMPLETED)
            done |= finished
    assert {task.result() for task in done} == {1}
    (serving,) = [pid for pid, wait in zip(pids, waits, strict=True) if wait not in done]
    facts = [fact for fact in await presence(bench) if isinstance(fact, HostJoined)]
    assert [fact.agent.pid for fact in facts if fact.agent is not None] == [serving]
    assert (await bench.ended(await bench.start("true"))).status == "completed"
    os.kill(serving, signal.SIGTERM)
    await asyncio.gather(*waits)


async def test_a_dead_agent_is_replaced_by_one_from_another_home(bench: Bench, agent_in: AgentMaker) -> None:
    first = agent_in("one")
    await joined(bench, first)
    first.kill()
    second = agent_in("two")
    await joined(bench, second)
    assert (await bench.ended(await bench.start("true"))).status == "completed"


async def test_one_that_left_in_order_is_replaced(bench: Bench, agent_in: AgentMaker) -> None:
    first = agent_in("one")
    await joined(bench, first)
    first.stop()
    await joined(bench, agent_in("two"))
    assert [type(fact).__name__ for fact in await presence(bench)] == ["HostJoined", "HostLeft", "HostJoined"]


async def test_one_that_was_not_heard_from_ends_when_it_was_replaced_and_its_runs_live_on(
    bench: Bench, agent_in: AgentMaker
) -> None:
    first = agent_in("one")
    await joined(bench, first)
    run = await bench.running(await bench.start("sleep", "600"))
    main = run.attempts[-1].main
    assert main is not None
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = agent_in("two")
        await joined(bench, second)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    pid = first.pid
    assert await asyncio.to_thread(first.wait) == 1
    said = first.log.read_text()
    assert f"pid {second.pid}" in said
    assert f"pid {pid}" in said
    assert alive(main.pid)
    second.stop()
    first.start()
    await joined(bench, first)
    await bench.order(KillRun(run_id=run.run_id))
    assert (await bench.ended(run.run_id)).status == "killed"
    assert not alive(main.pid)


async def test_a_restart_in_the_same_home_joins_at_once(bench: Bench, agent_in: AgentMaker) -> None:
    agent = agent_in("one")
    before = await joined(bench, agent)
    await beats(bench, 2)
    last = await bench.bus.last_message(TELEMETRY_STREAM, telemetry(bench.host))
    agent.kill()
    agent.start()
    after = await joined(bench, agent)
    assert before.agent is not None
    assert after.agent is not None
    assert before.agent.installation == after.agent.installation
    assert before.agent_id != after.agent_id
    assert last is not None
