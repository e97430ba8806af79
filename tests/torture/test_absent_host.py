"""A host is away: killed, cut off, or only thought to be. What was ordered meanwhile is done when it is back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from control_plane.command_side import CommandSide, ForceCompleteRequest
from runplane.contract import subjects
from runplane.contract.commands import ForceCompleteRun, KillRun
from runplane.contract.events import RunUnreachable
from runplane.contract.run import Run
from runplane.stamp import now, stamp
from tests.agent_process import alive
from tests.plane import Plane, plane
from tests.torture.cut import Line
from tests.torture.fleet import Fleet, Host
from tests.torture.log import OPERATOR
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

SLEEPER = "echo $$ >> $1; trap '' TERM; while :; do sleep 0.02; done"
KILL = {"grace": 0.2}
CRASHES = ("", "journal.before:1", "journal.after:1", "end.before:1", "end.after:1", "publish.after:1")


@dataclass(frozen=True)
class Scene:
    """A host with a run, and a control plane."""

    host: Host
    side: Plane
    commands: CommandSide

    async def started(self) -> tuple[str, Path]:
        starts = self.host.file("starts")
        return await self.host.start("sh", "-c", SLEEPER, "sh", str(starts), kill=KILL), starts

    async def running(self) -> tuple[str, int]:
        """A run, and the pid of its main process."""
        run_id, _ = await self.started()
        run = await self.host.log.running(run_id)
        main = run.attempts[-1].main
        assert main is not None
        return run_id, main.pid

    async def unreachable(self, run_id: str) -> None:
        """Somebody finds that the host is not heard from."""
        record = stamp(
            RunUnreachable(host=self.host.name),
            subject=subjects.plane_event(run_id),
            source="test",
            actor=OPERATOR,
        )
        await self.side.put(record)
        await self.side.settled()

    async def declare(self, run_id: str, **request: object) -> Run:
        """An operator declares the outcome through the control plane; it is so at once."""
        body = ForceCompleteRequest.model_validate(
            {"outcome": "completed", "reason": "seen elsewhere", **request}
        )
        await self.commands.force_complete_run(run_id, body, OPERATOR)
        return await self.host.log.ended(run_id)

    async def over(self, run_id: str, pid: int, tally: Tally, what: str) -> None:
        """The tree is ended here; what was declared stays, and nothing told of it was out of place."""
        await self.host.log.told(run_id, "TreeVerifiedGone")
        run = self.host.log.run(run_id)
        receipt, exit_ = run.kill_receipt, run.exit
        ended = receipt is not None and receipt.verified and exit_ is not None and not alive(pid)
        tally.held("G21", ended, f"{what}: {receipt}, {exit_}, alive: {alive(pid)}")
        stays = run.status == "completed" and run.override is not None and run.anomalies == 0
        tally.held(
            "G15", stays and len(self.host.log.endings(run_id)) == 1, f"{what}: {self.host.log.story(run_id)}"
        )


@pytest.fixture
async def scene(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Callable[..., Scene]]:
    async with plane(fleet.url, tmp_path) as side:
        commands = CommandSide(side.bus, side.read_model)
        yield lambda **settings: Scene(fleet.host(**settings), side, commands)


async def test_what_was_ordered_while_the_host_was_down(scene: Callable[..., Scene], tally: Tally) -> None:
    """An order given to a host that is down: carried out when it is back, unless it has expired"""
    here = scene()
    here.host.agent.start()
    (killed, killed_pid), (declared, declared_pid), (spared, spared_pid) = [
        await here.running() for _ in range(3)
    ]
    here.host.agent.kill()
    await here.host.order(KillRun(run_id=killed, expires_at=now() + timedelta(hours=1)))
    await here.host.order(ForceCompleteRun(run_id=declared, outcome="completed"))
    await here.host.order(KillRun(run_id=spared, expires_at=now()))
    here.host.agent.start()
    await here.host.log.ended(killed)
    await here.host.log.ended(declared)
    await here.host.log.told(spared, "CommandRejected")
    for run_id, pid, status in ((killed, killed_pid, "killed"), (declared, declared_pid, "completed")):
        carried_out = here.host.log.run(run_id).status == status and not alive(pid)
        tally.held("G21", carried_out, f"{here.host.log.run(run_id)}")
    tally.held("G21", here.host.log.run(spared).status == "running" and alive(spared_pid), "it had expired")
    await here.host.order(KillRun(run_id=spared, force=True))
    await here.host.log.ended(spared)
    here.host.agent.stop()
    tally.check()


async def declared_while_down(here: Scene, tally: Tally, failpoint: str) -> None:
    here.host.agent.start()
    run_id, pid = await here.running()
    here.host.agent.kill()
    await here.host.order(KillRun(run_id=run_id, grace_seconds=600))
    await here.unreachable(run_id)
    run = await here.declare(run_id)
    tally.held("G21", run.status == "completed" and alive(pid), f"{run}")
    here.host.agent.start(**({"RUNPLANE_FAILPOINT": failpoint} if failpoint else {}))
    if failpoint:
        assert await asyncio.to_thread(here.host.agent.wait) == -9
        here.host.agent.start()
    await here.over(run_id, pid, tally, failpoint or "no crash")
    if not failpoint:
        await here.host.log.told(run_id, "CommandRejected")
    here.host.agent.stop()


async def test_a_run_declared_while_its_host_was_down(
    scene: Callable[..., Scene], tally: Tally, many: Callable[[int, int], int]
) -> None:
    """The outcome is declared while the host is down, after a kill; its agent dies again while it ends the tree"""
    failpoints = CRASHES * many(0, 4) or ("", "end.after:1")
    at_once = asyncio.Semaphore(3)

    async def one(failpoint: str) -> None:
        async with at_once:
            await declared_while_down(scene(), tally, failpoint)

    await asyncio.gather(*map(one, failpoints))
    tally.check()


async def test_a_run_declared_before_it_began(scene: Callable[..., Scene], tally: Tally) -> None:
    """The outcome is declared while the host is down between its claim and the start: it never starts"""
    here = scene()
    here.host.agent.start(RUNPLANE_FAILPOINT="publish.after:1")
    run_id, starts = await here.started()
    assert await asyncio.to_thread(here.host.agent.wait) == -9
    await here.host.log.until(run_id, lambda run: run.status == "starting")
    await here.unreachable(run_id)
    await here.declare(run_id)
    here.host.agent.start()
    later, _ = await here.running()
    tally.held("G21", not starts.exists(), "it was started after all")
    tally.held(
        "G15", here.host.log.endings(run_id) == ["OutcomeOverridden"], f"{here.host.log.story(run_id)}"
    )
    await here.host.order(KillRun(run_id=later, force=True))
    await here.host.log.ended(later)
    here.host.agent.stop()
    tally.check()


async def test_a_run_declared_while_its_host_was_cut_off(
    scene: Callable[..., Scene], fleet: Fleet, tally: Tally
) -> None:
    """The outcome is declared while the host is cut off from the broker, and its agent lives on"""
    line = Line(fleet.url)
    await line.mend()
    here = scene(RUNPLANE_NATS_URL=line.url)
    here.host.agent.start()
    (run_id, pid), (other, other_pid) = await here.running(), await here.running()
    await line.cut()
    for one in (run_id, other):
        await here.unreachable(one)
    await here.declare(run_id)
    await here.host.order(KillRun(run_id=run_id))
    tally.held("G21", alive(pid), "it was ended although nobody could tell its host")
    await line.mend()
    await here.over(run_id, pid, tally, "cut off")
    tally.held("G21", alive(other_pid), "a run of which nothing was declared was ended")
    await here.host.order(KillRun(run_id=other, force=True))
    await here.host.log.ended(other)
    here.host.agent.stop()
    await line.cut()
    tally.check()


async def test_a_run_whose_host_was_only_thought_to_be_away(
    scene: Callable[..., Scene], tally: Tally
) -> None:
    """The outcome is declared of a run whose host was there all the time; and of one whose processes are let go"""
    here = scene()
    here.host.agent.start()
    (run_id, pid), (loose, loose_pid) = await here.running(), await here.running()
    for one in (run_id, loose):
        await here.unreachable(one)
    await here.declare(run_id)
    await here.over(run_id, pid, tally, "there all the time")
    run = await here.declare(loose, detach=True)
    await here.host.log.settled()
    tally.held("G21", alive(loose_pid) and run.anomalies == 0, f"{here.host.log.story(loose)}")
    here.host.agent.stop()
    here.host.agent.start()
    await here.host.log.wait(lambda: here.host.log.joined(here.host.name) == 2, "another agent is there")
    tally.held("G21", alive(loose_pid), "another agent ended what had been let go")
    os.kill(loose_pid, signal.SIGKILL)
    here.host.agent.stop()
    tally.check()
