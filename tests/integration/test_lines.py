"""A Python program that imports nothing of ours is held at its lines, looked into, changed, stepped and killed."""

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from runplane.cli.attach_check import attach_check
from runplane.cli.findings import Verdict
from runplane.contract.commands import (
    ContinueRun,
    EvaluateExpression,
    ForceCompleteRun,
    KillRun,
    PauseRun,
    SetBreakpoints,
    SetVariables,
    StepRun,
)
from runplane.contract.events import CommandRejected, ExpressionEvaluated, RunPaused
from runplane.contract.run import Run
from runplane.contract.spec import Breakpoint
from tests.agent_process import AgentProcess, Bench, alive

pytestmark = pytest.mark.anyio

PROGRAM = """\
import sys
import time


def double(number):
    result = number * 2
    return result


def main():
    total = 0
    secret_token = "hush"
    for count in range(int(sys.argv[1])):
        total += double(count)

        time.sleep(0.001)
    print("total", total, __name__, sys.argv, flush=True)


if __name__ == "__main__":
    main()
"""
LINE = 14


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "program.py").write_text(PROGRAM)
    return tmp_path / "work"


def points(*locations: str, condition: str | None = None) -> tuple[Breakpoint, ...]:
    return tuple(Breakpoint(location=location, condition=condition) for location in locations)


async def start(bench: Bench, place: Path, *argv: str, count: int = 6, **spec: Any) -> str:
    command = argv or (sys.executable, "program.py", str(count))
    spec = {"debug": True, **spec}
    return await bench.start(*command, workspace=str(place), **spec)


async def held(bench: Bench, run_id: str, at: str) -> Run:
    return await bench.until(run_id, lambda run: run.held is not None and run.held.at == at)


async def shown(bench: Bench, run_id: str) -> dict[str, Any]:
    scopes = (await bench.state(run_id)).debugging.scopes
    return {one.name: one.value for scope in scopes for one in scope.variables if scope.name == "locals"}


async def refused(bench: Bench, run_id: str, command_id: str) -> CommandRejected:
    with anyio.fail_after(20):
        while True:
            for _, record in await bench.bus.story(run_id):
                if record.command_id == command_id and isinstance(record.data, CommandRejected):
                    return record.data
            await anyio.sleep(0.01)


async def test_it_is_held_at_a_line_stepped_changed_and_goes_on(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, breakpoints=points(f"program.py:{LINE}", condition="count > 3"))
    run = await held(bench, run_id, f"program.py:{LINE}")
    assert run.status == "paused"
    assert run.held is not None
    assert (run.held.by, run.held.reason) == ("operator", f"breakpoint program.py:{LINE}")
    assert await shown(bench, run_id) == {"count": 4, "total": 12, "secret_token": "***"}
    debugging = (await bench.state(run_id)).debugging
    assert [(frame.function, frame.file, frame.line) for frame in debugging.stack] == [
        ("main", "program.py", LINE),
        ("<module>", "program.py", 21),
    ]
    around = {line.number: line.text for line in debugging.stack[0].source}
    assert around[LINE] == "        total += double(count)"
    assert len(around) == 11

    await bench.order(StepRun(run_id=run_id, mode="into"))
    await held(bench, run_id, "program.py:6")
    assert await shown(bench, run_id) == {"number": 4}
    await bench.order(StepRun(run_id=run_id, mode="over"))
    await held(bench, run_id, "program.py:7")
    assert (await shown(bench, run_id))["result"] == 8

    await bench.order(EvaluateExpression(run_id=run_id, expression="[result, number, {'a': result}]"))
    await bench.told(run_id, "ExpressionEvaluated")
    await bench.order(EvaluateExpression(run_id=run_id, expression="nothing / 0"))
    await bench.told(run_id, "ExpressionEvaluated", 2)
    good, bad = [r for _, r in await bench.bus.story(run_id) if isinstance(r.data, ExpressionEvaluated)]
    assert isinstance(good.data, ExpressionEvaluated)
    assert isinstance(bad.data, ExpressionEvaluated)
    assert good.actor.principal == "operator"
    assert good.data.result is not None
    assert (good.data.result.type, good.data.result.value) == ("list", [8, 4, {"a": 8}])
    assert [one.value for one in good.data.members][:2] == [8, 4]
    assert bad.data.error is not None
    assert "nothing" in bad.data.error

    await bench.order(StepRun(run_id=run_id, mode="out"))
    await held(bench, run_id, f"program.py:{LINE}")
    await bench.order(StepRun(run_id=run_id))
    await held(bench, run_id, "program.py:16")
    await bench.order(SetVariables(run_id=run_id, values={"total": 1000}))
    await bench.told(run_id, "VariablesSet")
    assert (await shown(bench, run_id))["total"] == 1000
    await bench.order(SetBreakpoints(run_id=run_id))
    await bench.order(ContinueRun(run_id=run_id))
    assert (await bench.ended(run_id)).status == "completed"
    output = (await bench.output(run_id)).decode()
    assert "__main__ ['program.py', '6']" in output
    assert int(output.split()[1]) > 1000


async def test_killed_while_it_is_held_nothing_is_left(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, breakpoints=points(f"program.py:{LINE}"))
    run = await held(bench, run_id, f"program.py:{LINE}")
    main = run.attempts[-1].main
    assert main is not None
    children = Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()
    assert children == []
    assert _listening(main.pid) == []
    await bench.order(KillRun(run_id=run_id, force=True))
    run = await bench.ended(run_id)
    assert run.status == "killed"
    assert not alive(main.pid)


def _listening(pid: int) -> list[str]:
    """The ports on which a process listens: none of the debugger's."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [fields[1] for fields in lines if fields[3] == "0A" and f"socket:[{fields[9]}]" in own]


async def test_it_stays_held_and_is_stepped_when_its_agent_is_killed(
    bench: Bench, agent: AgentProcess, place: Path
) -> None:
    run_id = await start(bench, place, breakpoints=points(f"program.py:{LINE}"))
    await held(bench, run_id, f"program.py:{LINE}")
    agent.kill()
    await bench.order(StepRun(run_id=run_id, mode="into"))
    agent.start()
    await held(bench, run_id, "program.py:6")
    agent.kill()
    agent.start()
    await bench.order(SetBreakpoints(run_id=run_id))
    await bench.order(ContinueRun(run_id=run_id))
    assert (await bench.ended(run_id)).status == "completed"
    paused = [r.data.at for _, r in await bench.bus.story(run_id) if isinstance(r.data, RunPaused)]
    assert paused == [f"program.py:{LINE}", "program.py:6"]


async def test_a_breakpoint_met_while_the_agent_was_away_is_told_when_it_returns(
    bench: Bench, agent: AgentProcess, place: Path
) -> None:
    run_id = await start(bench, place, count=10**6)
    await bench.running(run_id)
    socket = agent.home / "agent" / "runs" / run_id / "1" / "debug.sock"
    await _until(socket.exists)
    await bench.order(
        SetBreakpoints(run_id=run_id, breakpoints=points("program.py:14", condition="count > 300"))
    )
    await bench.told(run_id, "BreakpointsSet")
    agent.kill()
    other = await bench.start("true", pool="nobody")
    agent.start()
    await held(bench, run_id, "program.py:14")
    assert (await shown(bench, run_id))["count"] > 300
    await bench.order(KillRun(run_id=run_id, force=True))
    await bench.ended(run_id)
    assert other


async def _until(holds: Any) -> None:
    with anyio.fail_after(20):
        while not holds():
            await anyio.sleep(0.01)


async def test_what_cannot_be_is_refused_in_words(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, count=10**6, breakpoints=points("program.py:14"))
    await held(bench, run_id, "program.py:14")
    for location, code, said in (
        ("other.py:3", "file_not_found", "there is no file"),
        ("program.py:15", "line_without_code", "program.py:16"),
    ):
        order = SetBreakpoints(run_id=run_id, breakpoints=points("program.py:14", location))
        refusal = await refused(bench, run_id, await bench.order(order))
        assert (refusal.code, said in refusal.message) == (code, True)
    refusal = await refused(
        bench, run_id, await bench.order(SetVariables(run_id=run_id, values={"nothing": 1}))
    )
    assert refusal.code == "variable_not_found"
    await bench.order(KillRun(run_id=run_id, force=True))
    await bench.ended(run_id)

    for argv, location, kind in (
        ((), "nothing.py:3", "file_not_found"),
        ((), "program.py:15", "line_without_code"),
        (("sh", "-c", "true"), "program.py:14", "not_python"),
    ):
        run = await bench.ended(await start(bench, place, *argv, breakpoints=points(location)))
        assert run.failure is not None
        assert (run.status, run.failure.kind) == ("failed", kind)


async def test_a_program_that_was_started_without_is_attached_to_where_the_machine_allows_it(
    bench: Bench, place: Path
) -> None:
    run_id = await start(bench, place, count=10**6, debug=False)
    await bench.running(run_id)
    await bench.order(SetBreakpoints(run_id=run_id, breakpoints=points("step:any")))
    await bench.told(run_id, "BreakpointsSet")
    command_id = await bench.order(SetBreakpoints(run_id=run_id, breakpoints=points("program.py:14")))
    found = await anyio.to_thread.run_sync(attach_check)
    if found.verdict is Verdict.OK:
        await held(bench, run_id, "program.py:14")
    else:
        refusal = await refused(bench, run_id, command_id)
        assert (refusal.code, "cannot be attached to" in refusal.message) == ("not_debugged", True)
        assert "--break program.py:14" in refusal.message
        assert (await bench.state(run_id)).status == "running"
    await bench.order(KillRun(run_id=run_id, force=True))
    await bench.ended(run_id)


async def test_a_pause_stops_it_at_a_line_where_it_comes_to_one(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, count=10**6)
    await bench.running(run_id)
    await _until_debugged(bench, run_id)
    await bench.order(PauseRun(run_id=run_id))
    run = await bench.until(run_id, lambda run: run.held is not None)
    assert run.held is not None
    assert str(run.held.at).startswith("program.py:")
    await bench.order(KillRun(run_id=run_id, force=True))
    assert (await bench.ended(run_id)).status == "killed"


async def _until_debugged(bench: Bench, run_id: str) -> None:
    """The debugger answers once a breakpoint of it is met."""
    await bench.order(SetBreakpoints(run_id=run_id, breakpoints=points("program.py:14")))
    await held(bench, run_id, "program.py:14")
    await bench.order(SetBreakpoints(run_id=run_id))
    await bench.order(ContinueRun(run_id=run_id))
    await bench.until(run_id, lambda run: run.status == "running")


async def test_a_held_program_that_is_let_go_for_good_goes_on_by_itself(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, breakpoints=points(f"program.py:{LINE}"))
    run = await held(bench, run_id, f"program.py:{LINE}")
    main = run.attempts[-1].main
    assert main is not None
    await bench.order(ForceCompleteRun(run_id=run_id, outcome="completed", detach=True))
    assert (await bench.ended(run_id)).status == "completed"
    with anyio.fail_after(20):
        while alive(main.pid):
            await anyio.sleep(0.01)


async def test_threads_and_huge_and_recursive_variables_are_bounded(bench: Bench, place: Path) -> None:
    (place / "wide.py").write_text(
        "import threading\n"
        "stop = threading.Event()\n"
        "for n in range(200):\n"
        "    threading.Thread(target=stop.wait, daemon=True).start()\n"
        "def main():\n"
        "    text = 'x' * 50_000_000\n"
        "    items = list(range(1_000_000))\n"
        "    items.append(items)\n"
        "    names = {str(n): n for n in range(100_000)}\n"
        "    return len(text)\n"
        "main()\n"
    )
    run_id = await start(bench, place, sys.executable, "wide.py", breakpoints=points("wide.py:10"))
    await held(bench, run_id, "wide.py:10")
    scope = (await bench.state(run_id)).debugging.scopes[0]
    assert {one.name for one in scope.variables} == {"text", "items", "names"}
    assert all(one.truncated for one in scope.variables if one.name == "text")
    assert len(scope.model_dump_json()) < 70_000
    await bench.order(ContinueRun(run_id=run_id))
    assert (await bench.ended(run_id)).status == "completed"


async def test_a_program_that_ends_badly_ends_as_it_would(bench: Bench, place: Path) -> None:
    (place / "bad.py").write_text("import sys\nprint(sys.argv)\nsys.exit(7)\n")
    command = "import sys; print(sys.argv, __name__)"
    bad, module, good = [
        await start(bench, place, sys.executable, *argv, "a")
        for argv in (("-u", "bad.py"), ("-m", "bad"), ("-c", command))
    ]
    for run_id in (bad, module):
        run = await bench.ended(run_id)
        assert run.exit is not None
        assert (run.status, run.exit.code) == ("failed", 7)
    assert (await bench.ended(good)).status == "completed"
    assert (await bench.output(good)).decode() == "['-c', 'a'] __main__\n"


async def test_a_program_that_is_not_python_runs_without(bench: Bench, place: Path) -> None:
    run_id = await start(bench, place, "sh", "-c", "echo hello")
    assert (await bench.ended(run_id)).status == "completed"
