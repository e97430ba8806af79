"""Any program is paused as a whole tree and goes on, whatever holds it and whoever dies meanwhile."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runplane.contract import subjects
from runplane.contract.commands import ContinueRun, KillRun, PauseRun, RestartRun
from runplane.contract.events import CommandRejected, RunPaused
from runplane.stamp import new_run_id
from tests.agent_process import LIMIT, AgentProcess, Bench, alive
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

TICKER = """
import os, sys, time
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        file.write(b"x")
        time.sleep(0.005)
"""
TREE = """
"$0" -c "$1" "$2/child" &
setsid sh -c '"$0" -c "$1" "$2/daemon" & exit 0' "$0" "$1" "$2" </dev/null
exec "$0" -c "$1" "$2/main"
"""
TICKING = ("main", "child", "daemon")


@pytest.fixture(params=["auto", "subreaper"])
def agent(
    nats_server: BrokerProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[AgentProcess]:
    running = AgentProcess(tmp_path / "agent-home", nats_server.url, RUNPLANE_MECHANISM=request.param)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
async def tree(bench: Bench, tmp_path: Path) -> AsyncIterator[str]:
    """A run of three processes that tick, one of them a daemon in a session of its own; ended afterwards."""
    run_id = await bench.start(
        "sh", "-c", TREE, sys.executable, TICKER, str(tmp_path), kill={"grace": 5.0}, timeout=60
    )
    await bench.running(run_id)
    await reached(lambda: all(size(tmp_path / name) > 0 for name in TICKING))
    yield run_id
    run = (await bench.state(run_id)).run
    if run is not None and not run.status.ended:
        await bench.order(KillRun(run_id=run_id, force=True))
        await bench.ended(run_id)


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


async def reached(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def paused(bench: Bench, run_id: str, **more: str) -> str:
    command_id = await bench.order(PauseRun(run_id=run_id, **more))
    await bench.until(run_id, lambda run: run.status == "paused")
    return command_id


async def stands_still(bench: Bench, place: Path) -> bool:
    """Whether nobody ticks while another run comes and goes, which takes many ticks."""
    before = [size(place / name) for name in TICKING]
    for _ in range(2):
        await bench.ended(await bench.start("true"))
    return before == [size(place / name) for name in TICKING]


async def ticks(place: Path) -> None:
    before = [size(place / name) for name in TICKING]
    await reached(lambda: all(size(place / name) > old for name, old in zip(TICKING, before, strict=True)))


async def test_the_whole_tree_stands_still_and_goes_on(bench: Bench, tree: str, tmp_path: Path) -> None:
    command_id = await paused(bench, tree, reason="look")
    run = (await bench.state(tree)).run
    assert run is not None
    assert run.held is not None
    assert (run.held.by, run.held.via, run.held.reason) == ("operator", "cli", "look")
    assert await stands_still(bench, tmp_path)

    await bench.order(ContinueRun(run_id=tree))
    run = await bench.running(tree)
    await ticks(tmp_path)
    assert run.held is None
    assert run.attempts[-1].held_seconds > 0
    facts = [record for _, record in await bench.bus.story(tree) if isinstance(record.data, RunPaused)]
    assert [(fact.command_id, getattr(fact.data, "processes", 0)) for fact in facts] == [(command_id, 3)]


async def test_it_stays_held_when_its_agent_is_killed(
    bench: Bench, agent: AgentProcess, tree: str, tmp_path: Path
) -> None:
    await paused(bench, tree)
    agent.kill()
    agent.start()
    assert await stands_still(bench, tmp_path)
    await bench.order(ContinueRun(run_id=tree))
    await bench.running(tree)
    await ticks(tmp_path)


@pytest.mark.parametrize("agent", ["auto"], indirect=True)
@pytest.mark.parametrize(
    ("place", "order"), [("journal.before:1", PauseRun), ("journal.after:1", ContinueRun)]
)
async def test_an_agent_that_dies_of_the_order_leaves_it_to_the_next(
    bench: Bench, agent: AgentProcess, tree: str, place: str, order: type[PauseRun | ContinueRun]
) -> None:
    tmp_path = agent.home.parent
    if order is ContinueRun:
        await paused(bench, tree)
    agent.kill()
    agent.start(RUNPLANE_FAILPOINT=place)
    await bench.order(order(run_id=tree))
    await reached(lambda: agent.ended)
    assert agent.wait() == -signal.SIGKILL
    agent.start()
    if order is PauseRun:
        await bench.until(tree, lambda run: run.status == "paused")
        assert await stands_still(bench, tmp_path)
        await bench.order(ContinueRun(run_id=tree))
    await bench.running(tree)
    await ticks(tmp_path)
    story = await bench.story(tree)
    assert (story.count("RunPaused"), story.count("RunContinued")) == (1, 1)


@pytest.mark.parametrize("force", [False, True])
async def test_a_held_tree_is_killed_gracefully_or_at_once(bench: Bench, tree: str, *, force: bool) -> None:
    await paused(bench, tree)
    begun = time.monotonic()
    await bench.order(KillRun(run_id=tree, force=force))
    run = await bench.ended(tree)
    assert run.status == "killed"
    assert run.held is None
    assert run.kill_receipt is not None
    assert run.kill_receipt.verified
    assert len(run.kill_receipt.processes) == 3
    assert not [process.pid for process in run.kill_receipt.processes if alive(process.pid)]
    assert time.monotonic() - begun < 5.0, "its grace was waited for: nobody let it go on to end"


async def test_a_held_run_is_restarted(bench: Bench, tree: str) -> None:
    await paused(bench, tree)
    spec = (await bench.state(tree)).spec
    assert spec is not None
    follower = new_run_id()
    order = RestartRun(run_id=tree, new_run_id=follower, spec=spec)
    await bench.order(order, subjects.host_command(bench.host, follower))
    assert (await bench.ended(tree)).status == "killed"


@pytest.mark.parametrize("agent", ["auto"], indirect=True)
async def test_the_time_it_is_held_does_not_count_against_its_timeout(bench: Bench) -> None:
    run_id = await bench.start("sleep", "600", timeout=1.5)
    await bench.running(run_id)
    await paused(bench, run_id)
    await asyncio.sleep(2.0)  # longer than the whole timeout: what must not happen can only be waited for
    assert (await bench.state(run_id)).status == "paused"
    await bench.order(ContinueRun(run_id=run_id))
    assert (await bench.ended(run_id)).status == "timed_out"


async def test_what_cannot_be_is_refused(bench: Bench, tree: str) -> None:
    await bench.order(ContinueRun(run_id=tree))
    await bench.told(tree, "CommandRejected")
    (refused,) = [r.data for _, r in await bench.bus.story(tree) if isinstance(r.data, CommandRejected)]
    assert refused.code == "not_paused"
    assert (await bench.state(tree)).status == "running"


async def test_what_ends_while_it_is_held_ended_by_itself(bench: Bench) -> None:
    run_id = await bench.start("sleep", "600")
    run = await bench.running(run_id)
    await paused(bench, run_id)
    main = run.attempts[-1].main
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    await bench.order(ContinueRun(run_id=run_id))
    run = await bench.ended(run_id)
    assert run.status == "failed"
    assert run.exit is not None
    assert run.exit.signal == "SIGKILL"
