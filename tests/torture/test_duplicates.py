"""Orders that come twice, or ten times, from here and from there, while agents die: one effect each."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from runplane.bus import Bus
from runplane.contract import subjects
from runplane.contract.commands import KillRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.spec import RunSpec
from runplane.stamp import new_record_id, new_run_id, stamp
from tests.torture.fleet import Fleet, Host
from tests.torture.log import LIMIT, OPERATOR, Log
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

POOL = "shared"
AT_ONCE = 60
HOSTS = 2
SCRIPT = 'echo $RUNPLANE_RUN_ID.$RUNPLANE_ATTEMPT >> "$1"; [ "$2" = ends ] && exit 3; exec sleep 600'


async def publish_again(bus: Bus, order: Envelope, chance: random.Random) -> None:
    """The same order once more: as it was, under another message id, or both."""
    for identity in chance.choice([(order.id,), (new_record_id(),), (order.id, new_record_id())]):
        await bus.publish_bytes(order.subject, order.encode(), message_id=identity, timeout=LIMIT)


async def hand_back(bus: Bus) -> None:
    """Take orders to start from the pool and give each of them back, so that it is delivered again."""
    consumer = await bus.durable(f"pool-{POOL}", subjects.pool_commands(POOL), batch=1)
    while True:
        for delivery in await consumer.next():
            await delivery.nak()
            await asyncio.sleep(0.05)


async def live(log: Log, chance: random.Random, starts: str, *, ends: bool) -> str:
    """One run, each of its orders published several times, before and after it was carried out."""
    run_id = new_run_id()
    spec = RunSpec.model_validate(
        {
            "workflow": "w", "workflow_version": 1, "workspace": "/", "pool": POOL,
            "argv": ("sh", "-c", SCRIPT, "sh", starts, "ends" if ends else "stays"),
        }
    )  # fmt: skip
    start = await log.order(StartRun(run_id=run_id, spec=spec), subjects.pool_command(POOL, run_id))
    await publish_again(log.bus, start, chance)
    run = await log.until(run_id, lambda run: run.host is not None)
    at_host = stamp(
        start.data, subject=subjects.host_command(str(run.host), run_id), source="test", actor=OPERATOR
    )
    await publish_again(log.bus, at_host.model_copy(update={"id": start.id}), chance)
    if not ends:
        await log.running(run_id)
        subject = subjects.host_command(str(run.host), run_id)
        kill = await log.order(KillRun(run_id=run_id, grace_seconds=5.0), subject)
        await publish_again(log.bus, kill, chance)
        await log.ended(run_id)
        await publish_again(log.bus, kill, chance)
    await log.ended(run_id)
    await publish_again(log.bus, start, chance)
    return run_id


async def kill_agents(hosts: list[Host], chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(1.5, 4.0))
        agent = chance.choice(hosts).agent
        agent.kill()
        agent.start()


def judge(tally: Tally, log: Log, run_id: str, started: Counter[str]) -> None:
    story, run = log.story(run_id), log.run(run_id)
    trees = [started[f"{run_id}.{attempt}"] for attempt in range(1, 10)]
    tally.held("G7", max(trees) <= 1 and sum(trees) == 1, f"{run_id} was started {trees}: {story}")
    once = {record: story.count(record) for record in ("ProcessSpawned", "RunTerminating", "ProcessExited")}
    tally.held("G4", max(once.values()) == 1, f"{run_id}: {once} in {story}")
    tally.held("G15", len(log.endings(run_id)) == 1, f"{run_id}: {run.status} by {story}")


async def test_every_order_comes_several_times(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """A start whose orders are published and delivered several times, to two agents that are killed meanwhile"""
    chance = random.Random(7)
    hosts = [fleet.host(RUNPLANE_POOLS=POOL) for _ in range(HOSTS)]
    for host in hosts:
        host.agent.start()
    starts = str(fleet.place / "starts")
    disturbing = [
        asyncio.create_task(work) for work in (hand_back(fleet.log.bus), kill_agents(hosts, chance))
    ]
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        async with at_once:
            return await live(fleet.log, chance, starts, ends=number % 2 == 0)

    run_ids = await asyncio.gather(*(one(number) for number in range(many(24, 1000))))
    for task in disturbing:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for host in hosts:
        host.agent.stop()
        host.agent.start()
        marker = await fleet.log.start("true", pool=POOL)
        await fleet.log.ended(marker)
    await fleet.log.settled()
    started = Counter((fleet.place / "starts").read_text().split())
    for run_id in run_ids:
        judge(tally, fleet.log, run_id, started)
    tally.check()
