"""The agent dies at a named place of its own code, on every passing of it, and another one finishes what it began."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent import failpoint
from runplane.contract.commands import KillRun, RestartRun
from runplane.contract.run import ENDED
from runplane.stamp import new_run_id
from tests.plane import plane
from tests.torture.fleet import Fleet, Host
from tests.torture.log import LIMIT, Log
from tests.torture.tally import Tally
from tests.torture.verdict import Expected, judge

pytestmark = pytest.mark.anyio

LINES = 40
CODE = 7
OUTPUT = b"".join(b"line %d\n" % number for number in range(LINES))
SCRIPT = (
    "echo $$ >> $1; i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; "
    "until [ -e $2 ]; do sleep 0.02; done; "
    f"while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; exit {CODE}"
)
"""Half of the output, then it waits for the gate, then the other half."""


@dataclass
class Course:
    """One life of a run under an agent that dies at a place. Every wait ends when the agent has died."""

    host: Host
    place: str
    passing: int
    died: bool = False
    judged: list[tuple[str, Expected]] = field(default_factory=list)

    @property
    def log(self) -> Log:
        return self.host.log

    def arm(self) -> None:
        self.host.agent.start(RUNPLANE_FAILPOINT=f"{self.place}:{self.passing}")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the agent does; when it has died of the failpoint, start another one, which does it."""
        deadline = asyncio.get_running_loop().time() + LIMIT
        while not condition():
            self.revive()
            assert asyncio.get_running_loop().time() < deadline, f"{self}: not {what}"
            await asyncio.sleep(0.005)

    def revive(self) -> None:
        if not self.died and self.host.agent.ended:
            assert self.host.agent.wait() == -9, f"{self}: it did not die of the failpoint"
            self.died = True
            self.host.agent.start()

    async def status(self, run_id: str, *statuses: str) -> None:
        await self.until(lambda: self.log.state(run_id).status in statuses, f"{run_id} {statuses}")

    async def finish(self) -> None:
        """Everything is told and shipped, also when the agent dies of its very last passing."""
        for run_id, _ in self.judged:
            await self.status(run_id, *ENDED)
        shipped = asyncio.gather(*(self.log.output(run_id) for run_id, _ in self.judged))
        await self.until(shipped.done, "all output is shipped")
        shipped.exception()
        if not self.died and self.host.agent.stop() == -9:
            self.died = True
            self.host.agent.start()
            await self.log.wait(lambda: self.log.joined(self.host.name) > 1, "the next agent is there")
        await self.log.settled()


async def started(course: Course) -> tuple[str, Path, Expected]:
    starts, gate = course.host.file("starts"), course.host.file("gate")
    run_id = await course.host.start("sh", "-c", SCRIPT, "sh", str(starts), str(gate))
    return run_id, gate, Expected(status="failed", starts=starts, code=CODE, output=OUTPUT)


async def a_natural_end(course: Course) -> None:
    """The gate is open from the beginning, so it may end while no agent is there."""
    starts, gate = course.host.file("starts"), course.host.file("gate")
    gate.touch()
    course.arm()
    run_id = await course.host.start("sh", "-c", SCRIPT, "sh", str(starts), str(gate))
    expected = Expected(status="failed", starts=starts, code=CODE, output=OUTPUT)
    course.judged.append((run_id, expected))


async def an_end_after_it_was_seen_running(course: Course) -> None:
    course.arm()
    run_id, gate, expected = await started(course)
    await course.status(run_id, "running")
    gate.touch()
    course.judged.append((run_id, expected))


async def an_adoption(course: Course) -> None:
    """The agent that finds the run of a former one is the one that dies."""
    course.host.agent.start()
    run_id, gate, expected = await started(course)
    await course.log.running(run_id)
    course.host.agent.kill()
    course.arm()
    await course.until(lambda: course.died or course.log.joined(course.host.name) > 1, "it is back")
    gate.touch()
    course.judged.append((run_id, expected))


async def a_kill(course: Course) -> None:
    course.arm()
    run_id, _, expected = await started(course)
    await course.status(run_id, "running")
    await course.host.order(KillRun(run_id=run_id, grace_seconds=LIMIT))
    killed = Expected(status="killed", starts=expected.starts, signals=("SIGTERM",), output=None)
    course.judged.append((run_id, killed))


async def a_restart(course: Course) -> None:
    """The old run is ended and the new one started; a control plane is there for that."""
    course.arm()
    run_id, gate, expected = await started(course)
    await course.status(run_id, "running")
    new_id, spec = new_run_id(), course.log.state(run_id).spec
    assert spec is not None
    new_starts = expected.starts.with_suffix(".new")
    changed = spec.model_copy(update={"argv": (*spec.argv[:-2], str(new_starts), str(gate))})
    await course.host.order(RestartRun(run_id=run_id, new_run_id=new_id, spec=changed, force=True))
    await course.status(new_id, "running", "failed")
    gate.touch()
    old = Expected(status="killed", starts=expected.starts, signals=("SIGKILL",))
    new = Expected(status="failed", starts=new_starts, code=CODE, output=OUTPUT)
    course.judged += [(run_id, old), (new_id, new)]


FLOWS = {
    flow.__name__: flow
    for flow in (a_natural_end, an_end_after_it_was_seen_running, an_adoption, a_kill, a_restart)
}
NEVER = 1000
SMALL = (
    ("a_natural_end", "spawn.during", 1),
    ("an_end_after_it_was_seen_running", "publish.after", 1),
    ("an_adoption", "journal.before", 1),
    ("a_kill", "end.after", 1),
    ("a_restart", "journal.after", 3),
)
"""Of an ordinary run of the tests: where crashes were once told wrongly, and one of each kind."""


async def try_one(fleet: Fleet, tally: Tally, flow: str, place: str, passing: int) -> Host | None:
    """One course; the host, where the agent did not die because the place was not passed so often."""
    course = Course(fleet.host(), place, passing)
    try:
        await FLOWS[flow](course)
        await course.finish()
        if course.died:
            for run_id, expected in course.judged:
                await judge(tally, course.host, run_id, expected, f"{flow}, {place}:{passing}")
    except AssertionError as error:
        tally.held("G11", holds=False, what=f"{flow}, {place}:{passing}: {error}")
    finally:
        course.host.agent.stop()
    return None if course.died else course.host


async def passings(fleet: Fleet, tally: Tally, flow: str) -> list[tuple[str, int]]:
    """Every place that the agent passes in this course when it does not die, and each number of its passing."""
    host = await try_one(fleet, tally, flow, failpoint.PLACES[0], NEVER)
    assert host is not None, f"{flow}: it died without a reason"
    (line,) = [line for line in host.agent.log.read_text().splitlines() if "failpoints passed: " in line]
    counted = dict(entry.split(":") for entry in line.rpartition("failpoints passed: ")[2].split(", "))
    return [(place, number) for place, times in counted.items() for number in range(1, int(times) + 1)]


async def test_the_agent_dies_at_every_place(
    fleet: Fleet, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """The agent dies at a named place of its code, on each passing of it, in five courses of a run"""
    lanes = asyncio.Semaphore(3)

    async def once(flow: str, place: str, passing: int) -> bool:
        async with lanes:
            return await try_one(fleet, tally, flow, place, passing) is None

    async with plane(fleet.url, tmp_path):
        every = (
            [(flow, *at) for flow in FLOWS for at in await passings(fleet, tally, flow)]
            if many(0, 1)
            else SMALL
        )
        died = await asyncio.gather(*(once(*course) for course in every))
    assert sum(died) >= 0.9 * len(every), f"only {sum(died)} of {len(every)} agents died"
    tally.check()
