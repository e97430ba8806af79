"""The shim of a tree is killed -9; and a tree that cannot be killed: it is named, and nothing is started beside it."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from runplane.contract.commands import KillRun, RestartRun
from runplane.contract.run import Run
from runplane.stamp import new_run_id
from tests.agent_process import alive
from tests.plane import plane
from tests.torture.fleet import Fleet, Host
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

TREE = "echo $$ >> $1; sleep 600 & echo $! >> $1; until [ -e $2 ]; do sleep 0.02; done; kill $!; exit 3"
FREEZER = Path("/sys/fs/cgroup/freezer")
AT_ONCE = 4


async def pids_of(host: Host, run_id: str, file: Path) -> tuple[Run, list[int]]:
    """A running tree: the run, and its two processes."""
    run = await host.log.running(run_id)
    await asyncio.to_thread(_wait_for_lines, file, 2)
    return run, [int(pid) for pid in file.read_text().split()]


def _wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or len(file.read_text().split()) < count:
        assert time.monotonic() < deadline, f"{file} has no {count} lines"
        time.sleep(0.005)


async def kill_a_shim(host: Host, tally: Tally, chance: random.Random, number: int) -> None:
    """The shim dies, with or without its agent; then the tree ends by itself, or is killed."""
    starts, gate = host.file("pids"), host.file("gate")
    run_id = await host.start("sh", "-c", TREE, "sh", str(starts), str(gate))
    run, pids = await pids_of(host, run_id, starts)
    shim = Path(f"/proc/{pids[0]}/status").read_text().partition("PPid:")[2].split()[0]
    os.kill(int(shim), signal.SIGKILL)
    await asyncio.sleep(chance.uniform(0, 0.05))
    is_killed = number % 2 == 0
    if is_killed:
        await host.order(KillRun(run_id=run_id, force=number % 4 == 0, grace_seconds=1.0))
    else:
        gate.touch()
    run = await host.log.ended(run_id)
    gone = not any(map(alive, pids))
    # Kernels before 6.15 tell the status of an orphan to nobody: then it is said that nobody could see it.
    told = run.exit is None or run.exit.code == 3 or run.exit.signal in ("SIGTERM", "SIGKILL")
    expected = ("killed",) if is_killed else ("failed",)
    one = len(host.log.endings(run_id)) == 1 and run.status in expected and run.anomalies == 0
    tally.held("G12", gone and told and one, f"{run.status} {run.exit} {pids}: {host.log.story(run_id)}")


def has_joined_again(host: Host, joined: int) -> bool:
    return host.log.joined(host.name) > joined


async def test_shims_are_killed(fleet: Fleet, tally: Tally, many: Callable[[int, int], int]) -> None:
    """The shim of a run is killed -9, half of them while the agent is dead too; then the run ends or is killed"""
    chance, at_once = random.Random(31), asyncio.Semaphore(AT_ONCE)
    host = fleet.host()
    host.agent.start()

    async def one(number: int) -> None:
        async with at_once:
            await kill_a_shim(host, tally, chance, number)

    async def kill_agents() -> None:
        joined = 0
        while True:
            # At any moment, while it starts too; but most live long enough to do something, on a busy machine as well.
            if chance.random() < 0.7:
                await host.log.wait(partial(has_joined_again, host, joined), "the agent has joined")
            await asyncio.sleep(chance.uniform(0, 2))
            host.agent.kill()
            joined = host.log.joined(host.name)
            host.agent.start()

    killing = asyncio.create_task(kill_agents())
    try:
        await asyncio.gather(*(one(number) for number in range(many(8, 100))))
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
    host.agent.stop()
    tally.check()


@contextmanager
def frozen(name: str, pids: list[int]) -> Iterator[Callable[[], None]]:
    """These processes take no signal, SIGKILL included, until they are let go."""
    if not os.access(FREEZER / "cgroup.procs", os.W_OK):
        pytest.skip("no freezer (cgroup version 1) to make a process that takes no SIGKILL")
    ice = FREEZER / f"torture-{name}"
    ice.mkdir()

    def thaw() -> None:
        (ice / "freezer.state").write_text("THAWED")

    try:
        for pid in pids:
            (ice / "cgroup.procs").write_text(str(pid))
        (ice / "freezer.state").write_text("FROZEN")
        yield thaw
    finally:
        thaw()
        _wait_empty(ice)
        ice.rmdir()


def _wait_empty(ice: Path) -> None:
    deadline = time.monotonic() + 60
    while (ice / "cgroup.procs").read_text():
        assert time.monotonic() < deadline, f"{ice} is not empty"
        time.sleep(0.005)


async def survive(host: Host, tally: Tally, *, crash: bool) -> None:
    """A tree that cannot be killed, ordered to be restarted, also by an agent that dies meanwhile."""
    starts, gate = host.file("pids"), host.file("gate")
    run_id = await host.start("sh", "-c", TREE, "sh", str(starts), str(gate))
    _, pids = await pids_of(host, run_id, starts)
    spec, new_id = host.log.state(run_id).spec, new_run_id()
    assert spec is not None
    with frozen(run_id, pids) as thaw:
        await host.order(RestartRun(run_id=run_id, new_run_id=new_id, spec=spec, force=True))
        await host.log.told(run_id, "SurvivorsFound")
        if crash:
            host.agent.kill()
            host.agent.start()
            await host.log.wait(lambda: host.log.story(run_id).count("SurvivorsFound") > 1, "found again")
        run = host.log.run(run_id)
        named = " ".join(
            condition.detail or "" for condition in run.conditions if condition.type == "survivors"
        )
        waits = run.status == "terminating" and host.log.run(new_id).status == "pending"
        says = all(f"pid {pid}:" in named for pid in pids)
        tally.held("G10", waits and says and all(map(alive, pids)), f"{run.status}, {named}, {pids}")
        thaw()
    run = await host.log.ended(run_id)
    tally.held("G10", run.status == "killed" and not any(map(alive, pids)), f"{run}")
    await host.log.running(new_id)
    tally.held("G7", len(starts.read_text().split()) <= 4, f"{starts.read_text()}")
    await host.order(KillRun(run_id=new_id, force=True))
    await host.log.ended(new_id)


async def test_what_cannot_be_killed(
    fleet: Fleet, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """A tree that takes no SIGKILL is to be restarted: it is named, waited for, and nothing is started beside it"""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with at_once:
            host = fleet.host()
            host.agent.start()
            await survive(host, tally, crash=number % 2 == 1)
            host.agent.stop()

    async with plane(fleet.url, tmp_path):
        await asyncio.gather(*(one(number) for number in range(many(2, 20))))
    tally.check()
