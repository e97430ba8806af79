"""The pids of a run that ended unseen belong to others when its agent is back: nothing of theirs is signalled."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pytest

from agent.process.identity import is_alive
from agent.process.records import Mechanism
from runplane.contract.commands import KillRun
from tests.agent_process import alive
from tests.torture.fleet import Fleet, Host
from tests.torture.same_pid import process_with_pid
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

LIMIT = 20.0
TREE = 'setsid sleep 600 & echo $! > "$1"; exec sleep 600'


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT:g} s: {what}"
        time.sleep(0.005)


async def pids_given_to_others(host: Host, tally: Tally, chance: random.Random) -> None:
    """Agent, shim and main process die; their numbers go to others; a child of the tree may live on."""
    file = host.file("child")
    run_id = await host.start("sh", "-c", TREE, "sh", str(file), kill={"grace": 0.2})
    main = (await host.log.running(run_id)).attempts[-1].main
    assert main is not None
    await asyncio.to_thread(wait_for, lambda: file.exists() and file.read_text().strip(), "the child runs")
    child = int(file.read_text())
    shim = int(Path(f"/proc/{main.pid}/status").read_text().partition("PPid:")[2].split()[0])
    host.agent.kill()
    child_lives = chance.random() < 0.5
    for pid in (shim, main.pid, *(() if child_lives else (child,))):
        os.kill(pid, signal.SIGKILL)
    with ExitStack() as stack:
        others = [
            await asyncio.to_thread(stack.enter_context, process_with_pid(pid)) for pid in (main.pid, shim)
        ]
        is_ordered = chance.random() < 0.5
        if is_ordered:
            await host.order(KillRun(run_id=run_id, force=True))
        host.agent.start()
        run = await host.log.ended(run_id)
        untouched = all(map(is_alive, others))
        tally.held("G9", untouched, f"{run.status} {run.exit} {run.kill_receipt}: {host.log.story(run_id)}")
        named = {one.pid for one in run.kill_receipt.processes} if run.kill_receipt is not None else set()
        tally.held("G9", not named & {main.pid, shim}, f"{named} are said to be the run's")
        gone = not alive(child) and run.status in ("failed", "killed", "lost") and run.exit is None
        tally.held("G12", gone, f"{run.status} {run.exit}, child {child} alive: {alive(child)}")


@pytest.mark.parametrize("mechanism", get_args(Mechanism))
async def test_pids_are_given_to_others(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int], mechanism: str
) -> None:
    """While the agent is dead, shim and main process die and others get their pids; then the agent is back"""
    chance = random.Random(9)
    host = fleet.host(RUNPLANE_MECHANISM=mechanism)
    host.agent.start()
    for _ in range(many(2, 25)):
        await pids_given_to_others(host, tally, chance)
    host.agent.stop()
    tally.check()
