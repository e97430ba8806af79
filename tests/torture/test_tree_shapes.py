"""Every shape of a tree, by every mechanism that this machine offers, asked to end and forced: nothing is left."""

import asyncio
from collections.abc import Callable
from typing import get_args

import pytest

from agent.process.kernel import read_head, read_stat
from agent.process.procfs import pids
from agent.process.records import Mechanism
from runplane.contract.commands import KillRun
from tests.torture.fleet import Fleet, Host
from tests.torture.log import LIMIT
from tests.torture.shapes import SHAPES, Shape
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

AT_ONCE = 4
GRACE = 0.3
NOT_OFFERED = 1
"""What an agent ends with when its machine does not offer the mechanism that it is told to use."""


def alive(token: str) -> list[int]:
    """Every process, zombies apart, that has the token in its argv."""
    found = []
    for pid in pids():
        stat = read_stat(pid)
        if (
            stat is not None
            and stat.state not in "ZX"
            and token.encode() in read_head(f"/proc/{pid}/cmdline", 1 << 16)
        ):
            found.append(pid)
    return found


async def offered(host: Host) -> bool:
    """Whether the agent serves with the mechanism it was told to use."""
    before = host.log.joined(host.name)
    host.agent.start()
    while host.log.joined(host.name) == before:
        if host.agent.ended:
            assert host.agent.wait() == NOT_OFFERED, host.agent.log.read_text()
            return False
        await asyncio.sleep(0.01)
    return True


async def until_it_stands(host: Host, run_id: str, token: str, shape: Shape) -> None:
    """The tree has said that it is ready, and has as many processes as it should."""
    output = host.directory(run_id) / "stdout.log"
    deadline = asyncio.get_running_loop().time() + LIMIT
    while not (output.exists() and b"ready" in output.read_bytes() and len(alive(token)) >= shape.processes):
        assert asyncio.get_running_loop().time() < deadline, f"{shape.name}: {alive(token)}"
        await asyncio.sleep(0.01)


async def end_one(host: Host, tally: Tally, shape: Shape, token: str, *, force: bool) -> None:
    run_id = await host.start(*shape.argv(token), kill={"grace": GRACE}, leftovers="wait")
    await host.log.running(run_id)
    await until_it_stands(host, run_id, token, shape)
    await host.order(KillRun(run_id=run_id, force=force))
    run = await host.log.ended(run_id)
    left = alive(token)
    mechanism = run.attempts[-1].mechanism
    what = f"{shape.name}, {mechanism}, {'forced' if force else 'graceful'}"
    tally.held("G8", not left, f"{what}: {run.status} with {left} alive")
    receipt = run.kill_receipt
    proven = receipt is not None and receipt.verified and not receipt.survivors and bool(receipt.verified_by)
    tally.held("G10", proven, f"{what}: {receipt}")
    tally.held("G15", len(host.log.endings(run_id)) == 1, f"{what}: {host.log.story(run_id)}")


async def test_every_shape_by_every_mechanism(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """A tree of fourteen shapes is killed, by each mechanism of this machine, gracefully and by force"""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(host: Host, shape: Shape, number: int, *, force: bool) -> None:
        async with at_once:
            await end_one(host, tally, shape, f"31536000.{host.name[1:]}{number:06d}", force=force)

    tried = []
    for mechanism in get_args(Mechanism):
        host = fleet.host(RUNPLANE_MECHANISM=mechanism)
        if not await offered(host):
            continue
        tried.append(mechanism)
        cases = [(shape, force) for shape in SHAPES for force in (False, True)] * many(1, 4)
        await asyncio.gather(
            *(one(host, *case[:1], number, force=case[1]) for number, case in enumerate(cases))
        )
        held = {fleet.log.run(run).attempts[-1].mechanism for run in fleet.log.runs_of(host.name)}
        assert held == {mechanism}
        host.agent.stop()
    assert "subreaper" in tried
    tally.check()
