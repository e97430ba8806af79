"""Runs go on from where they were: whatever is killed, whichever host is cut off, no completed step runs twice."""

import asyncio
import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runplane.contract.commands import KillRun, StartRun
from runplane.contract.events import RetryScheduled, StepCompleted
from runplane.contract.spec import RunSpec
from runplane.contract.subjects import plane_command
from runplane.core.fold import apply, initial
from runplane.core.objections import objection
from runplane.stamp import new_run_id
from tests.agent_process import alive
from tests.broker_process import BrokerProcess
from tests.plane import plane
from tests.torture.cut import Line
from tests.torture.fleet import Fleet, Host
from tests.torture.log import Log
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

STEPS = 30
WORKFLOW = """
import os, pathlib, sys, time
import runplane

place, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])

@runplane.step
def work(n, before):
    with (place / "effects").open("a") as file:
        file.write(f"{n} {os.environ['RUNPLANE_ATTEMPT']} {runplane.idempotency_key()}\\n")
    time.sleep(seconds)
    return before + n * n

total = 0
for n in range(30):
    total = work(n, total)
    runplane.checkpoint({"done": n + 1, "total": total})
(place / "result").write_text(str(total))
"""
RESULT = str(sum(n * n for n in range(STEPS)))
RETRY = {"max_attempts": 100, "initial": 0.05, "factor": 1.0}
RECOVERY = {"from": "checkpoint"}


class Workflow:
    """The workflow of one run, and what it did."""

    def __init__(self, host: Host, seconds: float = 0.02) -> None:
        self.place = host.file("work")
        self.place.mkdir()
        program = self.place / "workflow.py"
        program.write_text(WORKFLOW)
        self.argv = ("python", str(program), str(self.place), str(seconds))

    def effects(self) -> list[tuple[int, int, str]]:
        """Step, attempt and key of every effect, in order."""
        file = self.place / "effects"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(n), int(attempt), key) for n, attempt, key in map(str.split, lines)]

    @property
    def result(self) -> str:
        return (self.place / "result").read_text()

    async def reaches(self, step: int, limit: float = 30.0) -> None:
        """Wait until a step has begun."""
        async with asyncio.timeout(limit):
            while all(n < step for n, _, _ in self.effects()):
                await asyncio.sleep(0.005)

    def check(self, log: Log, run_id: str, tally: Tally, what: str) -> None:
        """Every step was completed once, and had no effect afterwards; the result is that of an undisturbed run."""
        completed: dict[int, int] = {}
        state = initial()
        for seq, record in log.records(run_id):
            believed = state.run is None or objection(state, state.run, record) is None
            if isinstance(record.data, StepCompleted) and record.attempt is not None and believed:
                completed.setdefault(record.data.index, record.attempt)
            state = apply(state, record, seq)
        effects: dict[int, list[int]] = defaultdict(list)
        keys: dict[int, set[str]] = defaultdict(set)
        for n, attempt, key in self.effects():
            effects[n].append(attempt)
            keys[n].add(key)
        once = all(
            effects[n].count(completed.get(n, 0)) == 1 and max(effects[n]) == completed[n]
            for n in range(STEPS)
        )
        tally.held(
            "G30", sorted(completed) == list(range(STEPS)) and once, f"{what}: {dict(effects)} {completed}"
        )
        tally.held("G30", all(len(keys[n]) == 1 for n in range(STEPS)), f"{what}: {dict(keys)}")
        tally.held("G30", self.result == RESULT, f"{what}: {self.result}")
        run = log.run(run_id)
        one = run.status == "completed" and len(log.endings(run_id)) == 1
        tally.held("G15", one, f"{what}: {log.story(run_id)}")


async def test_killed_at_every_turn_and_resumed(
    fleet: Fleet, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """A 30-step workflow is killed -9 at random points (itself, its shim, its agent in turn), and resumed"""
    host = fleet.host()
    host.agent.start()
    workflow = Workflow(host)
    points = sorted(random.Random(6).sample(range(1, STEPS - 1), many(5, 20)))
    async with plane(fleet.url, tmp_path):
        run_id = await host.start(*workflow.argv, sdk=True, retry=RETRY, recovery=RECOVERY)
        for number, point in enumerate(points):
            await workflow.reaches(point)
            run = await host.log.until(run_id, lambda run: run.status in ("running", "completed"))
            victim = ("workflow", "shim", "agent")[number % 3]
            if victim == "agent":
                host.agent.kill()
                host.agent.start()
            else:
                kill(host, run_id, run.attempt, "main" if victim == "workflow" else "shim")
        await host.log.ended(run_id)
        await host.log.settled()
    workflow.check(host.log, run_id, tally, f"killed at {points}")
    host.agent.stop()
    tally.check()


def kill(host: Host, run_id: str, attempt: int, who: str) -> None:
    run = host.log.run(run_id)
    main = run.attempts[-1].main
    assert main is not None
    pid = main.pid
    if who == "shim":
        pid = shim_of(host, run_id, attempt)
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def shim_of(host: Host, run_id: str, attempt: int) -> int:
    record = json.loads((host.directory(run_id, attempt) / "process.json").read_text())
    return int(record["shim"]["pid"])


LEASE: dict[str, Any] = {"stop_after": 1.0, "lost_after": 5.0}


async def test_a_host_is_lost_and_another_goes_on(fleet: Fleet, tally: Tally, tmp_path: Path) -> None:
    """A host is cut off, or its agent killed: its runs are ended there, go on elsewhere, and it is joined again"""
    async with plane(fleet.url, tmp_path, absent_seconds=2.0):
        await asyncio.gather(*(lost_and_joined_again(fleet, tally, how) for how in ("cut off", "killed")))
    tally.check()


async def lost_and_joined_again(fleet: Fleet, tally: Tally, how: str) -> None:
    pool = how.replace(" ", "-")
    line = Line(fleet.url)
    await line.mend()
    first = fleet.host(RUNPLANE_NATS_URL=line.url, RUNPLANE_POOLS=pool, RUNPLANE_SAMPLE_MS="200")
    second = fleet.host(RUNPLANE_POOLS=pool, RUNPLANE_SAMPLE_MS="200")
    workflow = Workflow(first, seconds=0.12)
    first.agent.start()
    run_id = await fleet.log.start(
        *workflow.argv, pool=pool, sdk=True, retry=RETRY, recovery=RECOVERY, disconnect=LEASE
    )
    await workflow.reaches(5)
    second.agent.start()
    before = await fleet.log.running(run_id)
    old = before.attempts[-1].main
    assert old is not None
    if how == "killed":
        first.agent.kill()
    await line.cut()
    await fleet.log.until(run_id, lambda run: run.status == "unreachable")
    run = await fleet.log.until(run_id, lambda run: run.attempt == 2)
    tally.held("G20", run.host == second.name and not alive(old.pid), f"{how}: {run.host}, {alive(old.pid)}")
    at_the_claim = len(workflow.effects())
    await fleet.log.until(run_id, lambda run: run.status == "running")
    await line.mend()
    if how == "killed":
        first.agent.start()
    ended = await fleet.log.ended(run_id)
    told = await fleet.log.until(run_id, lambda run: bool(run.attempts[0].verified_by))
    tally.held("G20", told.attempts[0].exit is not None, f"{how}: {told.attempts[0]}")
    tally.held("G15", ended.host == second.name, f"{how}: {ended}")
    late = [attempt for _, attempt, _ in workflow.effects()[at_the_claim:] if attempt == 1]
    tally.held("G20", late == [], f"{how}: effects of the first host after the second's claim: {late}")
    workflow.check(fleet.log, run_id, tally, how)
    await line.cut()


async def test_many_fail_at_once_while_plane_and_broker_die(
    fleet: Fleet, nats_server: BrokerProcess, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """Runs fail together; plane and broker are killed while they wait: each comes back once, and apart"""
    count = many(20, 100)
    host = fleet.host(RUNPLANE_SLOTS="200")
    host.agent.start()
    program = "import os, sys; sys.exit(3 if os.environ['RUNPLANE_ATTEMPT'] == '1' else 0)"
    retry = {"max_attempts": 3, "initial": many(4, 8)}
    async with plane(fleet.url, tmp_path):
        runs = [await host.start("python", "-c", program, retry=retry) for _ in range(count)]
        for run_id in runs:
            await host.log.until(
                run_id, lambda run: run.next_attempt is not None and run.next_attempt.at is not None
            )
    nats_server.restart()
    async with plane(fleet.url, tmp_path):
        for run_id in runs:
            await host.log.ended(run_id)
    due = [next_at(host.log, run_id) for run_id in runs]
    for run_id in runs:
        orders = [r for r in host.log.story(run_id) if r in ("StartRun", "RetryScheduled", "RunClaimed")]
        once = orders == ["StartRun", "RunClaimed", "RetryScheduled", "StartRun", "RunClaimed"]
        tally.held("G31", once and host.log.run(run_id).status == "completed", f"{host.log.story(run_id)}")
    most = max(sum(1 for one in due if start <= one < start + 0.25) for start in due)
    apart = max(due) - min(due)
    tally.held(
        "G31", most <= count // 2 + 4 and apart > 1.0, f"{most} of {count} within 0.25 s, {apart:.1f} s apart"
    )
    host.agent.stop()
    tally.check()


def next_at(log: Log, run_id: str) -> float:
    """When the second attempt was scheduled for, in seconds."""
    return next(
        record.data.at.timestamp()
        for _, record in log.records(run_id)
        if isinstance(record.data, RetryScheduled)
    )


async def test_a_run_whose_kill_waits_for_a_lost_host_is_not_attempted_again(
    fleet: Fleet, tally: Tally, tmp_path: Path
) -> None:
    """A kill is ordered while the host is away, and the host is given up: no other attempt, and one ending"""
    host = fleet.host(RUNPLANE_SAMPLE_MS="200")
    host.agent.start()
    async with plane(fleet.url, tmp_path, absent_seconds=1.0):
        lease = {"stop_after": 0.8, "lost_after": 2.0}
        run_id = await host.start("sleep", "600", retry=RETRY, kill={"grace": 0.2}, disconnect=lease)
        await host.log.running(run_id)
        host.agent.kill()
        await host.log.until(run_id, lambda run: run.status == "unreachable")
        await host.order(KillRun(run_id=run_id))
        run = await host.log.ended(run_id)
        said = run.failure.message if run.failure is not None else ""
        tally.held(
            "G20", (run.status, run.attempt) == ("lost", 1) and "its kill was ordered by" in said, f"{run}"
        )
        host.agent.start()
        await host.log.until(run_id, lambda run: bool(run.attempts[0].verified_by))
    tally.held("G15", host.log.endings(run_id) == ["RunLost"], f"{host.log.story(run_id)}")
    host.agent.stop()
    tally.check()


async def test_two_planes_never_let_in_one_too_many(
    fleet: Fleet, tally: Tally, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    """Runs of one group are asked for at once, and two control planes let them in: never more than there is room for"""
    host = fleet.host(RUNPLANE_SLOTS="50")
    host.agent.start()
    limit = {"group": "q-0123456789abcdef", "limit": 2, "when_full": "queue"}
    spec = RunSpec.model_validate(
        {
            "workflow": "w", "workflow_version": 1, "argv": ("sleep", "0.1"), "workspace": "/",
            "pool": host.name, "concurrency": limit,
        }
    )  # fmt: skip
    runs = [new_run_id() for _ in range(many(10, 60))]
    async with plane(fleet.url, tmp_path / "one"), plane(fleet.url, tmp_path / "two"):
        await asyncio.gather(
            *(host.log.order(StartRun(run_id=one, spec=spec), plane_command(one)) for one in runs)
        )
        for run_id in runs:
            await host.log.ended(run_id)
    told = sorted((seq, record.type) for one in runs for seq, record in host.log.records(one))
    inside, most = 0, 0
    for _, kind in told:
        inside += (kind == "RunAdmitted") - (kind == "RunCompleted")
        most = max(most, inside)
    tally.held("G31", most == 2, f"{most} were open at once")
    admitted = [one for one in runs if host.log.story(one).count("RunAdmitted") == 1]
    tally.held("G31", admitted == runs, f"let in once: {len(admitted)} of {len(runs)}")
    host.agent.stop()
    tally.check()
