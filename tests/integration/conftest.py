"""Agents, one of them looking at its runs five times a second, and a bench for each to order and look on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runplane.bus import Bus
from tests.agent_process import AgentProcess, Bench
from tests.broker_process import BrokerProcess


@pytest.fixture
def agent(nats_server: BrokerProcess, tmp_path: Path) -> Iterator[AgentProcess]:
    running = AgentProcess(tmp_path / "agent-home", nats_server.url)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        _end_what_is_left(running.home)


@pytest.fixture
async def bench(nats_server: BrokerProcess, agent: AgentProcess) -> AsyncIterator[Bench]:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    yield Bench(bus, agent.host)
    await bus.close()


@pytest.fixture
def watching_agent(nats_server: BrokerProcess, tmp_path: Path) -> Iterator[AgentProcess]:
    running = AgentProcess(tmp_path / "agent-home", nats_server.url, RUNPLANE_SAMPLE_MS="200")
    running.start()
    yield running
    running.stop()
    _end_what_is_left(running.home)


@pytest.fixture
async def watching_bench(nats_server: BrokerProcess, watching_agent: AgentProcess) -> AsyncIterator[Bench]:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    yield Bench(bus, watching_agent.host)
    await bus.close()


def _end_what_is_left(home: Path) -> None:
    """Runs outlive their agent; those of a test that failed must not outlive the test."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("RUNPLANE_DIR", "").startswith(f"{home}/"):
                process.kill()
