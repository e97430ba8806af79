"""A workflow that reports steps is held at their boundaries, looked into, changed, and goes on, whoever dies then."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from runplane.contract import subjects
from runplane.contract.commands import (
    ContinueRun,
    ForceCompleteRun,
    KillRun,
    PauseRun,
    SetBreakpoints,
    SetVariables,
    StartRun,
    StepRun,
)
from runplane.contract.events import BreakpointsSet, RunPaused, StepCompleted, StepStarted
from runplane.contract.run import Run
from runplane.contract.spec import Breakpoint, RunSpec
from runplane.stamp import new_run_id
from tests.agent_process import AgentProcess, Bench

pytestmark = pytest.mark.anyio

WORKFLOW = """
import time, runplane

@runplane.step
def read(name):
    return name.upper()

@runplane.step
def cut(text, limit):
    return text[:limit]

for number in range(4):
    limit = runplane.variables(limit=3, number=number)["limit"]
    cut(read(f"text-{number}"), limit)
"""
THREADS = """
import threading, runplane

def work(name):
    with runplane.step(name, number=int(name[1])):
        pass

threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
SHELL = """
permits() { sed 's/.*"permits": \\([0-9]*\\).*/\\1/' "$RUNPLANE_DIR/control.json"; }
report() { printf '{%s}\\n' "$1" >>"$RUNPLANE_DIR/reports.jsonl"; }
for name in one two; do
    granted=$(permits)
    report "\\"held\\":{\\"at\\":\\"step:$name\\",\\"inputs\\":{\\"name\\":\\"$name\\"}}"
    while [ "$(permits)" -le "$granted" ]; do sleep 0.02; done
    report "\\"resumed\\":{\\"at\\":\\"step:$name\\"}"
    report "\\"step\\":\\"$name\\",\\"state\\":\\"started\\""
    report "\\"step\\":\\"$name\\",\\"state\\":\\"completed\\""
done
"""


def points(*locations: str, condition: str | None = None) -> tuple[Breakpoint, ...]:
    return tuple(Breakpoint(location=location, condition=condition) for location in locations)


async def start(bench: Bench, program: str = WORKFLOW, **spec: Any) -> str:
    return await bench.start(sys.executable, "-c", program, sdk=True, **spec)


async def held(bench: Bench, run_id: str, at: str) -> Run:
    return await bench.until(run_id, lambda run: run.held is not None and run.held.at == at)


async def go_on(bench: Bench, run_id: str) -> None:
    await bench.order(ContinueRun(run_id=run_id))


async def shown(bench: Bench, run_id: str) -> dict[str, dict[str, Any]]:
    scopes = (await bench.state(run_id)).debugging.scopes
    return {scope.name: {one.name: one.value for one in scope.variables} for scope in scopes}


async def results(bench: Bench, run_id: str, name: str) -> list[Any]:
    return [
        record.data.result
        for _, record in await bench.bus.story(run_id)
        if isinstance(record.data, StepCompleted) and record.data.name == name
    ]


async def pauses(bench: Bench, run_id: str) -> list[RunPaused]:
    return [record.data for _, record in await bench.bus.story(run_id) if isinstance(record.data, RunPaused)]


async def test_it_is_held_looked_into_changed_stepped_and_goes_on(bench: Bench) -> None:
    run_id = await start(bench, breakpoints=points("step:cut"))
    run = await held(bench, run_id, "step:cut")
    assert run.status == "paused"
    assert run.held is not None
    assert (run.held.by, run.held.via, run.held.reason) == ("operator", "cli", "breakpoint step:cut")
    assert await shown(bench, run_id) == {
        "inputs": {"text": "TEXT-0", "limit": 3},
        "variables": {"limit": 3, "number": 0},
    }

    await bench.order(SetVariables(run_id=run_id, values={"limit": 1}, scope="variables"))
    await bench.order(SetVariables(run_id=run_id, values={"limit": 5}))
    await bench.order(StepRun(run_id=run_id))
    run = await held(bench, run_id, "step:read")
    assert run.held is not None
    assert run.held.reason == "the next boundary"
    assert run.attempts[-1].held_seconds > 0
    assert await results(bench, run_id, "cut") == ["TEXT-"]

    await bench.order(SetBreakpoints(run_id=run_id))
    await bench.until(run_id, lambda run: run.breakpoints == ())
    assert (await held(bench, run_id, "step:read")).status == "paused"
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"
    assert await results(bench, run_id, "cut") == ["TEXT-", "T", "T", "T"]
    assert len(await pauses(bench, run_id)) == 2


async def test_a_condition_decides_which_call_is_held(bench: Bench) -> None:
    wanted = points("step:cut", condition='text == "TEXT-2" and number > 1')
    run_id = await start(bench, breakpoints=wanted)
    await held(bench, run_id, "step:cut")
    assert (await shown(bench, run_id))["inputs"]["text"] == "TEXT-2"
    assert await results(bench, run_id, "cut") == ["TEX", "TEX"]
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"
    assert len(await pauses(bench, run_id)) == 1


async def test_a_condition_that_cannot_be_told_holds_and_says_why(bench: Bench) -> None:
    run_id = await start(bench, breakpoints=points("step:cut", condition="nothing > 3"))
    run = await held(bench, run_id, "step:cut")
    assert run.held is not None
    assert run.held.reason is not None
    assert "'nothing' is not defined" in run.held.reason
    await bench.order(SetBreakpoints(run_id=run_id))
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"


async def test_breakpoints_set_before_the_start_and_while_it_runs_hold(bench: Bench) -> None:
    run_id = new_run_id()
    spec = RunSpec(
        workflow="w",
        workflow_version=1,
        argv=(sys.executable, "-c", WORKFLOW),
        workspace="/",
        sdk=True,
        pool="later",
    )
    await bench.order(StartRun(run_id=run_id, spec=spec), subjects.pool_command("later", run_id))
    # As the control plane does for a run that no host holds yet.
    await tell(bench, run_id, BreakpointsSet(breakpoints=points("step:read")))
    await bench.order(StartRun(run_id=run_id, spec=spec), subjects.host_command(bench.host, run_id))
    await held(bench, run_id, "step:read")
    await bench.order(SetBreakpoints(run_id=run_id, breakpoints=points("step:cut")))
    await go_on(bench, run_id)
    await held(bench, run_id, "step:cut")
    await bench.order(KillRun(run_id=run_id))
    assert (await bench.ended(run_id)).status == "killed"


async def tell(bench: Bench, run_id: str, data: BreakpointsSet) -> None:
    from runplane.stamp import stamp
    from tests.agent_process import OPERATOR

    subject = subjects.plane_event(run_id)
    await bench.bus.publish(stamp(data, subject=subject, source="plane/test", actor=OPERATOR))


@pytest.mark.parametrize("moment", ["held", "stepped"])
async def test_it_stays_held_and_can_be_stepped_when_its_agent_is_killed(
    bench: Bench, agent: AgentProcess, moment: str
) -> None:
    run_id = await start(bench, breakpoints=points("step:cut"))
    await held(bench, run_id, "step:cut")
    agent.kill()
    if moment == "stepped":
        await bench.order(StepRun(run_id=run_id))
    agent.start()
    if moment == "held":
        await bench.order(StepRun(run_id=run_id))
    run = await held(bench, run_id, "step:read")
    assert run.attempts[-1].held_seconds > 0
    await go_on(bench, run_id)
    await held(bench, run_id, "step:cut")
    await bench.order(SetBreakpoints(run_id=run_id))
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"
    assert await results(bench, run_id, "cut") == ["TEX"] * 4
    assert len(await pauses(bench, run_id)) == 3


async def test_the_order_to_go_on_reaches_it_though_the_agent_dies_of_it(
    bench: Bench, agent: AgentProcess
) -> None:
    run_id = await start(bench, breakpoints=points("step:cut", condition="number == 2"))
    await held(bench, run_id, "step:cut")
    agent.kill()
    agent.start(RUNPLANE_FAILPOINT="journal.after:1")
    await go_on(bench, run_id)
    await asyncio.to_thread(agent.wait)
    agent.start()
    assert (await bench.ended(run_id)).status == "completed"
    assert len(await pauses(bench, run_id)) == 1


async def test_the_time_it_is_held_counts_for_no_timeout(bench: Bench) -> None:
    run_id = await start(bench, breakpoints=points("step:cut", condition="number == 0"), timeout=2)
    await held(bench, run_id, "step:cut")
    other = await bench.start("sleep", "3")
    await bench.ended(other)
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"


async def test_a_run_that_was_paused_anywhere_is_stepped_to_its_next_boundary(bench: Bench) -> None:
    program = WORKFLOW.replace("range(4)", "range(10**4)").replace(
        "    limit =", "    time.sleep(0.05); limit ="
    )
    run_id = await start(bench, program)
    await bench.told(run_id, "StepStarted")
    await bench.order(PauseRun(run_id=run_id))
    await bench.until(run_id, lambda run: run.status == "paused")
    await bench.order(StepRun(run_id=run_id))
    run = await bench.until(run_id, lambda run: run.held is not None and run.held.at is not None)
    assert run.held is not None
    assert run.held.at in ("step:read", "step:cut")
    await bench.order(KillRun(run_id=run_id, force=True))
    assert (await bench.ended(run_id)).status == "killed"


async def test_of_threads_that_stay_at_boundaries_one_after_the_other_goes_on(bench: Bench) -> None:
    run_id = await start(bench, THREADS, breakpoints=points("step:*", condition="number != 1"))
    seen = []
    for number in range(2):
        await bench.told(run_id, "RunPaused", number + 1)
        run = await bench.until(run_id, lambda run: run.held is not None)
        assert run.held is not None
        seen.append(run.held.at)
        await go_on(bench, run_id)
        await bench.told(run_id, "RunContinued", number + 1)
    assert sorted(str(at) for at in seen) == ["step:t0", "step:t2"]
    assert (await bench.ended(run_id)).status == "completed"


async def test_a_held_run_that_is_let_go_for_good_goes_on_by_itself(bench: Bench, tmp_path: Path) -> None:
    run_id = await start(
        bench, WORKFLOW + f"open({str(tmp_path / 'done')!r}, 'w')", breakpoints=points("step:*")
    )
    await held(bench, run_id, "step:read")
    await bench.order(ForceCompleteRun(run_id=run_id, outcome="completed", detach=True))
    assert (await bench.ended(run_id)).status == "completed"
    with anyio.fail_after(20):
        while not (tmp_path / "done").exists():
            await anyio.sleep(0.01)


async def test_what_is_reported_in_between_is_told_in_its_time(bench: Bench) -> None:
    program = """
import runplane
for number in range(3000):
    runplane.progress(number, 3000)
    runplane.variables(number=number)
with runplane.step("last"):
    pass
"""
    run_id = await start(bench, program, breakpoints=points("step:last"))
    await held(bench, run_id, "step:last")
    story = await bench.story(run_id)
    assert story.count("ProgressReported") < 10
    assert story.count("VariablesReported") < 10
    assert (await shown(bench, run_id))["variables"] == {"number": 2999}
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"


async def test_a_large_result_is_kept_by_its_digest(bench: Bench, agent: AgentProcess) -> None:
    program = """
import runplane

@runplane.step
def read(names, limit):
    return ["x" * limit, names]

read(["n" * 100_000], 500_000)
"""
    run_id = await start(bench, program)
    agent.kill()
    agent.start()
    assert (await bench.ended(run_id)).status == "completed"
    [result] = await results(bench, run_id, "read")
    [inputs] = [r.data.inputs for _, r in await bench.bus.story(run_id) if isinstance(r.data, StepStarted)]
    assert isinstance(inputs, dict)
    assert inputs["limit"] == 500_000
    assert await kept(bench, inputs["names"]) == ["n" * 100_000]
    assert await kept(bench, result) == ["x" * 500_000, ["n" * 100_000]]


async def kept(bench: Bench, marker: Any) -> Any:
    with anyio.fail_after(20):
        while (data := await bench.bus.objects.get(marker["$object"])) is None:
            await anyio.sleep(0.01)
    assert len(data) == marker["bytes"]
    return json.loads(data)


async def test_a_secret_is_nowhere_in_what_is_told(bench: Bench, agent: AgentProcess) -> None:
    (agent.home / "agent" / "secrets").mkdir(parents=True, exist_ok=True)
    (agent.home / "agent" / "secrets" / "KEY").write_text('hush"hush')
    program = """
import os, runplane
key = os.environ["KEY"]
runplane.variables(seen=[key, {key: 1}])
with runplane.step("use", given=f"key={key}") as step:
    step.result = key
"""
    run_id = await start(bench, program, env={"KEY": "secret:KEY"}, breakpoints=points("step:use"))
    await held(bench, run_id, "step:use")
    assert (await shown(bench, run_id))["inputs"] == {"given": "key=•••"}
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"
    assert await results(bench, run_id, "use") == ["•••"]
    assert not any("hush" in record.encode().decode() for _, record in await bench.bus.story(run_id))


async def test_a_shell_script_is_held_by_the_protocol_alone(bench: Bench) -> None:
    run_id = await bench.start("sh", "-c", SHELL, breakpoints=points("step:*"))
    await held(bench, run_id, "step:one")
    assert await shown(bench, run_id) == {"inputs": {"name": "one"}}
    await go_on(bench, run_id)
    await held(bench, run_id, "step:two")
    await go_on(bench, run_id)
    assert (await bench.ended(run_id)).status == "completed"
    started = [r.data.name for _, r in await bench.bus.story(run_id) if isinstance(r.data, StepStarted)]
    assert started == ["one", "two"]
