"""Hosts whose clocks are wrong by a day, and are set while runs are under way: the log orders, nothing ends by it."""

import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from runplane.contract.commands import KillRun
from runplane.contract.run import Run
from runplane.stamp import now
from tests.plane import plane
from tests.torture.fleet import Fleet, Host
from tests.torture.tally import Tally
from tests.torture.verdict import Expected, judge
from tests.torture.wrong_clock import DAY, WrongClock

pytestmark = pytest.mark.anyio

GATED = "echo $$ >> $1; until [ -e $2 ]; do sleep 0.02; done; exit 3"
WRONG = (-DAY, DAY)


class Wrong:
    """A host, its clock, and how far off it began."""

    def __init__(self, fleet: Fleet, seconds: int) -> None:
        self.host: Host = fleet.host()
        self.seconds = seconds
        self.clock = WrongClock(self.host.place, seconds)

    def begin(self) -> None:
        self.host.agent.start(**self.clock.environment)

    async def gated(self, **spec: object) -> tuple[str, Path, Path]:
        starts, gate = self.host.file("starts"), self.host.file("gate")
        run_id = await self.host.start("sh", "-c", GATED, "sh", str(starts), str(gate), **spec)
        return run_id, starts, gate


@pytest.fixture(params=WRONG, ids=["a day behind", "a day ahead"])
async def wrong(request: pytest.FixtureRequest, fleet: Fleet) -> AsyncIterator[Wrong]:
    made = Wrong(fleet, request.param)
    made.begin()
    yield made
    made.host.agent.stop()


def off(run: Run) -> timedelta:
    """How far the host's word about when the run began is from when it was asked for."""
    assert run.started_at is not None
    return run.started_at - run.created_at


async def test_the_clock_that_is_told_is_wrong_and_nothing_else_is(wrong: Wrong, tally: Tally) -> None:
    """A run on a host whose clock is a day behind or ahead: its order, its ending, its proof"""
    log = wrong.host.log
    (ended, starts, gate), (killed, killed_starts, _) = await wrong.gated(), await wrong.gated()
    await log.running(ended)
    gate.touch()
    await log.ended(ended)
    await log.running(killed)
    await wrong.host.order(KillRun(run_id=killed, grace_seconds=30))
    await log.ended(killed)
    assert abs(off(log.run(ended)).total_seconds() - wrong.seconds) < DAY / 2, (
        "the clock was not wrong at all"
    )
    expected = Expected(status="failed", starts=starts, code=3, output=b"")
    await judge(tally, wrong.host, ended, expected, "a natural end")
    expected = Expected(status="killed", starts=killed_starts, signals=("SIGTERM",))
    await judge(tally, wrong.host, killed, expected, "a kill")
    ordered = log.story(ended)
    told = ["StartRun", "RunClaimed", "ProcessSpawned", "ProcessExited", "TreeVerifiedGone", "RunFailed"]
    tally.held("G18", ordered == told, f"{ordered}")
    tally.check()


async def test_a_timeout_is_measured_by_no_clock_that_can_be_set(wrong: Wrong, tally: Tally) -> None:
    """The host's clock is set by two days, under a running agent and between two: timeouts neither early nor late"""
    log = wrong.host.log
    (long, _, gate), (short, _, _) = await wrong.gated(timeout=3600), await wrong.gated(timeout=4)
    await log.running(long)
    await log.running(short)
    wrong.clock.set(-wrong.seconds)
    wrong.host.agent.kill()
    wrong.begin()
    await log.ended(short)
    tally.held("G18", log.run(short).status == "timed_out", f"{log.run(short)}")
    wrong.clock.set(wrong.seconds)
    at_once, _, _ = await wrong.gated(timeout=0.5)
    await log.ended(at_once)
    tally.held("G18", log.run(at_once).status == "timed_out", f"{log.run(at_once)}")
    tally.held("G18", log.run(long).status == "running", f"{log.story(long)}")
    gate.touch()
    await log.ended(long)
    tally.held("G18", log.run(long).status == "failed", f"{log.story(long)}")
    tally.check()


async def test_an_order_expires_by_the_brokers_clock(wrong: Wrong, tally: Tally) -> None:
    """An order that is good until a moment, at a host whose clock is wrong by more than that"""
    log = wrong.host.log
    run_id, _, _ = await wrong.gated()
    await log.running(run_id)
    await wrong.host.order(KillRun(run_id=run_id, force=True, expires_at=now() - timedelta(minutes=1)))
    await log.told(run_id, "CommandRejected")
    tally.held("G18", log.run(run_id).status == "running", f"{log.story(run_id)}")
    await wrong.host.order(KillRun(run_id=run_id, force=True, expires_at=now() + timedelta(minutes=5)))
    await log.ended(run_id)
    tally.held("G18", log.run(run_id).status == "killed", f"{log.story(run_id)}")
    tally.check()


async def test_two_hosts_two_days_apart(
    fleet: Fleet, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """Runs of two hosts whose clocks are two days apart, folded by the log's order, rebuilt equal"""
    chance = random.Random(23)
    pair = [Wrong(fleet, seconds) for seconds in WRONG]
    async with plane(fleet.url, tmp_path) as side:
        for one in pair:
            one.begin()
        runs = [(one, *await one.gated()) for one in pair for _ in range(many(2, 20))]
        for one, run_id, _, gate in chance.sample(runs, len(runs)):
            await fleet.log.running(run_id)
            gate.touch()
            await fleet.log.ended(run_id)
            one.clock.set(chance.choice((-DAY, 0, DAY)))
        await side.settled()
        for one, run_id, starts, _ in runs:
            expected = Expected(status="failed", starts=starts, code=3, output=b"")
            await judge(tally, one.host, run_id, expected, f"on {one.host.name}")
            same = side.read_model.state(run_id) == fleet.log.state(run_id)
            tally.held("G18", same, f"{run_id}: the read model tells another story")
        for one in pair:
            one.host.agent.stop()
    tally.check()
