"""An order at every moment of a run's life, also while its agent is away, and orders that cross one another."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runplane.contract import subjects
from runplane.contract.commands import KillRun, RestartRun
from runplane.contract.run import ENDED
from runplane.stamp import new_run_id
from tests.plane import plane
from tests.torture.fleet import Fleet, Host
from tests.torture.log import LIMIT
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

LONG = 600.0
AT_ONCE = 4
SCRIPT = """
echo $$ >> $1.starts
[ -e $1.last ] && kill -0 $(cat $1.last) 2> /dev/null && echo overlap >> $1.overlaps
echo $$ > $1.last
trap '' TERM
while :; do sleep 0.02; done
"""
"""It takes no SIGTERM, says when it began, and whether the one before it in its chain was alive then."""


@dataclass(frozen=True)
class Case:
    """One run, and all that follow it, on a host of its own; ``chain`` is what their files begin with."""

    host: Host
    chain: Path
    chance: random.Random

    async def start(self) -> str:
        return await self.host.start("sh", "-c", SCRIPT, "sh", str(self.chain))

    async def kill(self, run_id: str, *, force: bool = True, grace: float | None = None) -> None:
        await self.host.order(KillRun(run_id=run_id, force=force, grace_seconds=grace))

    async def restart(self, run_id: str, *, force: bool = True, grace: float | None = None) -> str:
        spec, new_id = self.host.log.state(run_id).spec, new_run_id()
        assert spec is not None
        await self.host.order(
            RestartRun(run_id=run_id, new_run_id=new_id, spec=spec, force=force, grace_seconds=grace)
        )
        return new_id

    async def moment(self) -> None:
        """A little while, so that what crosses does so at another place each time."""
        await asyncio.sleep(self.chance.uniform(0, 0.03))

    async def killed(self, run_id: str) -> None:
        run = await self.host.log.ended(run_id)
        assert run.status in ("killed", "canceled"), (
            f"{run_id} is {run.status}: {self.host.log.story(run_id)}"
        )

    def starts(self) -> list[str]:
        file = self.chain.with_suffix(".starts")
        return file.read_text().split() if file.exists() else []


async def before_the_claim(case: Case) -> list[str]:
    """No agent is there: the plane cancels it, and the agent that comes starts nothing."""
    run_id = await case.start()
    await case.host.log.order(KillRun(run_id=run_id), subjects.plane_command(run_id))
    run = await case.host.log.ended(run_id)
    case.host.agent.start()
    later = await case.start()
    await case.host.log.running(later)
    await case.kill(later)
    await case.killed(later)
    assert (run.status, len(case.starts())) == ("canceled", 1)
    return [run_id, later]


async def beside_the_claim(case: Case) -> list[str]:
    """Ordered at the same time: whoever comes first, one ending."""
    case.host.agent.start()
    await case.host.log.wait(lambda: case.host.log.joined(case.host.name) > 0, "the agent is there")
    run_id = await case.start()
    await case.moment()
    await case.host.log.order(KillRun(run_id=run_id, force=True), subjects.plane_command(run_id))
    await case.killed(run_id)
    return [run_id]


async def while_the_agent_is_dead(case: Case, failpoint: str) -> str:
    """The agent dies at a place; the kill is given then; another agent carries it out."""
    case.host.agent.start(RUNPLANE_FAILPOINT=failpoint)
    run_id = await case.start()
    await asyncio.to_thread(case.host.agent.wait)
    await case.kill(run_id)
    case.host.agent.start()
    await case.killed(run_id)
    return run_id


async def between_claim_and_spawn(case: Case) -> list[str]:
    return [await while_the_agent_is_dead(case, "publish.after:1")]


async def between_spawn_and_its_event(case: Case) -> list[str]:
    run_id = await while_the_agent_is_dead(case, "spawn.after:1")
    assert case.host.log.run(run_id).status == "killed"
    return [run_id]


async def while_the_agent_is_down(case: Case) -> list[str]:
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    case.host.agent.kill()
    await case.kill(run_id)
    case.host.agent.start()
    await case.killed(run_id)
    return [run_id]


async def during_another_kill(case: Case) -> list[str]:
    """A second order with force ends the grace of the first."""
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    await case.kill(run_id, force=False, grace=LONG)
    await case.moment()
    await case.kill(run_id)
    await case.killed(run_id)
    assert case.host.log.story(run_id).count("RunTerminating") == 1
    return [run_id]


async def a_restart_during_a_kill(case: Case) -> list[str]:
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    await case.kill(run_id, force=False, grace=LONG)
    await case.moment()
    new_id = await case.restart(run_id)
    await case.killed(run_id)
    await case.host.log.running(new_id)
    await case.kill(new_id)
    await case.killed(new_id)
    assert case.host.log.run(run_id).restarted_as == new_id
    return [run_id, new_id]


async def two_restarts_at_once(case: Case) -> list[str]:
    """One new run; whoever asked second is told which, and the other never begins."""
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    new_ids = await asyncio.gather(case.restart(run_id), case.restart(run_id))
    await case.killed(run_id)
    chosen = case.host.log.run(run_id).restarted_as
    assert chosen in new_ids
    (other,) = set(new_ids) - {chosen}
    await case.host.log.ended(other)
    assert case.host.log.run(other).status == "canceled"
    assert case.host.log.told_why(other, "RestartRun") == {"new_run_id": chosen}
    await case.host.log.running(str(chosen))
    await case.kill(str(chosen))
    await case.killed(str(chosen))
    assert len(case.starts()) == 2
    return [run_id, *new_ids]


async def a_kill_of_the_old_run_while_the_new_one_starts(case: Case) -> list[str]:
    """The new run is another one: it goes on."""
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    new_id = await case.restart(run_id, force=False, grace=0.05)
    await case.moment()
    await case.kill(run_id)
    await case.killed(run_id)
    await case.host.log.running(new_id)
    await case.kill(new_id)
    await case.killed(new_id)
    return [run_id, new_id]


async def a_restart_while_the_agent_is_down(case: Case) -> list[str]:
    case.host.agent.start()
    run_id = await case.start()
    await case.host.log.running(run_id)
    case.host.agent.kill()
    new_id = await case.restart(run_id, force=False, grace=0.05)
    case.host.agent.start()
    await case.killed(run_id)
    await case.host.log.running(new_id)
    await case.kill(new_id)
    await case.killed(new_id)
    return [run_id, new_id]


MOMENTS: tuple[Callable[[Case], Awaitable[list[str]]], ...] = (
    before_the_claim,
    beside_the_claim,
    between_claim_and_spawn,
    between_spawn_and_its_event,
    while_the_agent_is_down,
    during_another_kill,
    a_restart_during_a_kill,
    two_restarts_at_once,
    a_kill_of_the_old_run_while_the_new_one_starts,
    a_restart_while_the_agent_is_down,
)


@pytest.fixture
async def control_plane(fleet: Fleet, tmp_path: Path) -> AsyncIterator[None]:
    async with plane(fleet.url, tmp_path):
        yield


@pytest.mark.usefixtures("control_plane")
async def test_an_order_at_every_moment(fleet: Fleet, tally: Tally, many: Callable[[int, int], int]) -> None:
    """A kill or restart at each of ten moments: before the claim, at the start, while the agent is away, crossing"""
    chance, at_once = random.Random(5), asyncio.Semaphore(AT_ONCE)

    async def one(moment: Callable[[Case], Awaitable[list[str]]]) -> None:
        async with at_once:
            host = fleet.host()
            case = Case(host, host.place / "chain", chance)
            name = moment.__name__
            try:
                run_ids = await asyncio.wait_for(moment(case), 2 * LIMIT)
            except AssertionError as error:
                tally.held("G15", holds=False, what=f"{name}: {error}")
                return
            finally:
                host.agent.stop()
            await fleet.log.settled()
            for run_id in run_ids:
                run, endings = fleet.log.run(run_id), fleet.log.endings(run_id)
                single = len(endings) == 1 and run.anomalies == 0 and run.status in ENDED
                tally.held("G15", single, f"{name}: {run.status} by {fleet.log.story(run_id)}")
            trees = [fleet.log.story(run_id).count("ProcessSpawned") for run_id in run_ids]
            overlaps = case.chain.with_suffix(".overlaps")
            once = max(trees) <= 1 and len(case.starts()) <= len(run_ids) and not overlaps.exists()
            tally.held("G7", once, f"{name}: started {case.starts()} for {run_ids}, {trees}")

    await asyncio.gather(*(one(moment) for moment in MOMENTS for _ in range(many(1, 8))))
    tally.check()
