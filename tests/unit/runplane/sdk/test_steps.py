import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import runplane
from tests.run_directory import RunDirectory, until

pytestmark = pytest.mark.anyio


def test_a_decorated_step_reports_start_and_completion(run_dir: RunDirectory) -> None:
    @runplane.step
    def plan(goal: str, *others: str, depth: int = 1) -> dict[str, object]:
        return {"goal": goal, "parts": [*others], "depth": depth}

    assert plan("ship", "test", depth=2) == {"goal": "ship", "parts": ["test"], "depth": 2}

    started, completed = run_dir.reports()
    assert started["step"] == completed["step"] == "plan"
    assert started["index"] == completed["index"] == 0
    assert started["state"] == "started"
    assert started["inputs"] == {"goal": "ship", "args": ["test"], "depth": 2}
    assert completed["state"] == "completed"
    assert completed["result"] == {"goal": "ship", "parts": ["test"], "depth": 2}


def test_a_failed_step_reports_type_and_message_and_raises(run_dir: RunDirectory) -> None:
    with pytest.raises(ValueError, match="no such table"), runplane.step("load", table="x"):
        raise ValueError("no such table")

    failed = run_dir.reports()[-1]
    assert (failed["state"], failed["error"], failed["error_type"]) == (
        "failed",
        "ValueError: no such table",
        "ValueError",
    )


def test_calls_of_one_name_are_counted(run_dir: RunDirectory) -> None:
    for _ in range(3):
        with runplane.step("fetch"):
            pass
    with runplane.step("other"):
        pass

    assert [step for step in run_dir.steps() if step[2] == "started"] == [
        ("fetch", 0, "started"),
        ("fetch", 1, "started"),
        ("fetch", 2, "started"),
        ("other", 0, "started"),
    ]


def test_steps_nest(run_dir: RunDirectory) -> None:
    with runplane.step("outer"), runplane.step("inner"):
        pass
    with runplane.step("inner"):
        pass

    assert [report["key"] for report in run_dir.reports() if report["state"] == "started"] == [
        "outer#0",
        "outer#0/inner#0",
        "inner#0",
    ]
    assert run_dir.steps()[1] == ("inner", 0, "started")
    assert run_dir.steps()[-1] == ("inner", 1, "completed")


def test_a_declared_wait_is_reported(run_dir: RunDirectory) -> None:
    @runplane.step("ask", expected_seconds=15)
    def wait_for_answer() -> None: ...

    wait_for_answer()

    assert run_dir.reports()[0]["step"] == "ask"
    assert run_dir.reports()[0]["expected_seconds"] == 15


def test_inputs_that_name_a_secret_are_not_reported(run_dir: RunDirectory) -> None:
    @runplane.step
    def log_in(user: str, api_token: str, max_tokens: int) -> None: ...

    log_in("ada", "hunter2", 100)

    assert run_dir.reports()[0]["inputs"] == {"user": "ada", "api_token": "***", "max_tokens": 100}


async def test_async_functions_are_steps(run_dir: RunDirectory) -> None:
    @runplane.step
    async def double(number: int) -> int:
        return number * 2

    @runplane.step
    async def both() -> list[int]:
        return [await double(1), await double(2)]

    assert await both() == [2, 4]
    assert [(report["key"], report["state"]) for report in run_dir.reports()] == [
        ("both#0", "started"),
        ("both#0/double#0", "started"),
        ("both#0/double#0", "completed"),
        ("both#0/double#1", "started"),
        ("both#0/double#1", "completed"),
        ("both#0", "completed"),
    ]


async def test_a_failing_async_step_is_reported(run_dir: RunDirectory) -> None:
    @runplane.step
    async def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        await fail()
    assert run_dir.reports()[-1]["error"] == "KeyError: 'gone'"


def test_a_resumed_attempt_takes_the_recorded_result_and_does_not_run(run_dir: RunDirectory) -> None:
    run_dir.resume(
        {"name": "plan", "index": 0, "result": {"goal": "ship"}}, {"name": "plan", "index": 1, "result": None}
    )
    ran = []

    @runplane.step
    def plan(number: int) -> object:
        ran.append(number)
        return number

    assert [plan(0), plan(1), plan(2)] == [{"goal": "ship"}, None, 2]
    assert ran == [2]
    assert [(report["index"], report["state"], report.get("recorded")) for report in run_dir.reports()] == [
        (0, "completed", True),
        (1, "completed", True),
        (2, "started", None),
        (2, "completed", None),
    ]
    assert run_dir.reports()[0]["result"] == {"goal": "ship"}


def test_the_context_manager_says_that_it_is_recorded(run_dir: RunDirectory) -> None:
    run_dir.resume({"name": "fetch", "index": 0, "result": [1, 2]})

    with runplane.step("fetch") as first:
        assert first.recorded
        assert first.result == [1, 2]
    with runplane.step("fetch") as second:
        assert not second.recorded
        second.result = [3]

    assert run_dir.reports()[-1]["result"] == [3]


async def test_a_recorded_async_step_is_not_awaited(run_dir: RunDirectory) -> None:
    run_dir.resume({"name": "fetch", "index": 0, "result": 7})

    @runplane.step
    async def fetch() -> int:
        raise AssertionError("it ran")

    assert await fetch() == 7


def test_a_step_inside_a_skipped_one_does_not_shift_the_rest(tmp_path: Path) -> None:
    """`fetch` is called by two steps; the first is recorded, the second was interrupted at its second `fetch`."""
    program = """
import os, sys, runplane

@runplane.step
def fetch(what):
    if what == os.environ.get("FAIL_AT"):
        os._exit(9)
    print("fetching", what)
    return what

@runplane.step
def first():
    return [fetch("a"), fetch("b")]

@runplane.step
def second():
    return [fetch("c"), fetch("d")]

print(fetch("0"), first(), second(), fetch("e"))
"""
    one, two = RunDirectory(tmp_path / "1"), RunDirectory(tmp_path / "2")

    crashed = _python(program, one.environment(FAIL_AT="d"))
    two.resume_from(one)
    resumed = _python(program, two.environment())

    assert crashed.returncode == 9
    assert resumed.stdout.splitlines() == ["fetching d", "fetching e", "0 ['a', 'b'] ['c', 'd'] e"]


@pytest.mark.parametrize("result", [float("nan"), object(), {"name": "\udc80"}])
def test_a_result_that_cannot_be_recorded_makes_its_step_run_again(
    result: object,
    run_dir: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @runplane.step
    def make() -> object:
        return result

    assert make() is result
    assert run_dir.steps()[-1] == ("make", 0, "completed")
    assert "the result of step make is not JSON" in capsys.readouterr().err

    again = RunDirectory(tmp_path / "again")
    again.resume_from(run_dir)
    monkeypatch.setenv("RUNPLANE_DIR", str(again.path))
    assert make() is result


def test_a_large_result_comes_back_from_its_file(run_dir: RunDirectory) -> None:
    values = run_dir.path / "values"
    values.mkdir()
    (values / "wide.json").write_text(json.dumps("x" * 70_000))
    run_dir.resume({"name": "make", "index": 0, "result": {"$file": "wide.json", "bytes": 70_002}})

    @runplane.step
    def make() -> str:
        raise AssertionError("it was completed before")

    assert make() == "x" * 70_000


RESUMED = [
    {"name": name, "index": index, "key": f"{name}#{index}", "result": name}
    for name, index in (("plan", 0), ("fetch", 0), ("fetch", 1))
]

ORDER = [str(step["key"]) for step in RESUMED]


def call(name: str) -> str:
    with runplane.step(name) as step:
        if not step.recorded:
            step.result = f"{name} again"
    return str(step.result)


def test_a_workflow_that_left_out_a_completed_step_is_told_where_it_differs(run_dir: RunDirectory) -> None:
    run_dir.resume(*RESUMED, order=ORDER, sequential=True)
    assert call("plan") == "plan"
    assert call("fetch") == "fetch"
    with pytest.raises(runplane.ShapeChanged, match=r"step 'fetch#1' came here then .* 'merge#0' comes now"):
        call("merge")
    assert "merge" not in [name for name, _, _ in run_dir.steps()]
    assert "fetch#1" in str(run_dir.of("shape_changed"))


def test_a_workflow_that_calls_its_steps_in_another_order_is_told_so(run_dir: RunDirectory) -> None:
    run_dir.resume(*RESUMED, order=ORDER, sequential=True)
    with pytest.raises(runplane.ShapeChanged, match="'plan#0' came here then"):
        call("fetch")


def test_a_step_that_was_running_may_give_way_to_another_and_side_by_side_there_is_no_order(
    run_dir: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir.resume(*RESUMED, order=[*ORDER, "merge#0"], sequential=True)
    assert [call(name) for name in ("plan", "fetch", "fetch", "other")][-1] == "other again"

    beside = RunDirectory(tmp_path / "beside")
    beside.resume(*RESUMED, order=ORDER, sequential=False)
    monkeypatch.setenv("RUNPLANE_DIR", str(beside.path))
    assert [call(name) for name in ("fetch", "merge", "plan")] == ["fetch", "merge again", "plan"]


def test_a_key_for_effects_is_the_same_in_every_attempt_that_runs_the_step(
    run_dir: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir.resume(origin="run_00000000000f")
    keys: list[str] = []

    @runplane.step
    def outer() -> None:
        keys.append(runplane.idempotency_key())
        with runplane.step("inner") as inner:
            keys.append(inner.idempotency_key)
            keys.append(runplane.idempotency_key(per_attempt=True))

    outer()
    assert keys[:2] == ["run_00000000000f/outer#0", "run_00000000000f/outer#0/inner#0"]
    assert keys[2].startswith("run_00000000000f/outer#0/inner#0@")
    monkeypatch.delenv("RUNPLANE_DIR")
    assert runplane.idempotency_key() == ""


def test_only_the_first_process_replays(run_dir: RunDirectory) -> None:
    run_dir.resume({"name": "work", "index": 0, "result": "recorded"})
    program = """
import os, subprocess, sys, runplane

@runplane.step
def work():
    return "ran"

if sys.argv[1:]:
    print("child", work())
else:
    print("main", work(), flush=True)
    subprocess.run([sys.executable, __file__, "child"], check=True)
    if (child := os.fork()) == 0:
        print("fork", work(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    path = run_dir.path / "program.py"
    path.write_text(program)

    done = subprocess.run(
        [sys.executable, str(path)],
        env=run_dir.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines() == ["main recorded", "child ran", "fork ran"]
    keys = [report["key"] for report in run_dir.reports() if report["state"] == "completed"]
    assert keys[0] == "work#0"
    assert all(key.startswith("@") for key in keys[1:])


def test_an_unreadable_resume_is_refused_and_not_taken_for_a_first_attempt(run_dir: RunDirectory) -> None:
    (run_dir.path / "resume.json").write_text("{")

    with pytest.raises(RuntimeError, match="cannot resume"), runplane.step("plan"):
        pass


@pytest.mark.usefixtures("no_run")
async def test_outside_a_run_steps_are_plain_functions(tmp_path: Path) -> None:
    @runplane.step
    def plus(number: int) -> int:
        return number + 1

    @runplane.step("minus")
    async def minus(number: int) -> int:
        return number - 1

    with runplane.step("body", a=1) as body:
        body.result = plus(await minus(5))

    assert (body.result, body.recorded) == (5, False)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_a_step_is_refused_when_it_is_made() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, later):
        with pytest.raises(TypeError, match="is a generator"):
            runplane.step(function)
    with pytest.raises(TypeError, match="needs a name"), runplane.step():
        pass


def test_a_step_is_held_at_its_boundary(run_dir: RunDirectory) -> None:
    run_dir.control(breakpoints=[{"location": "step:two", "condition": None}])
    program = """
import runplane
runplane.variables(batch=7)
for name in ("one", "two", "three"):
    with runplane.step(name, of=3):
        print(name, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], env=run_dir.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            held = run_dir.wait_for("held")
            assert (held["at"], held["explicit"]) == ("step:two", False)
            assert (held["inputs"], held["variables"]) == ({"of": 3}, {"batch": 7})
            assert run_dir.steps() == [("one", 0, "started"), ("one", 0, "completed")]
            run_dir.control(breakpoints=[{"location": "step:two", "condition": None}], permits=1)
            until(lambda: process.poll() is not None, "the end of the workflow")
        finally:
            process.kill()
        assert process.returncode == 0
    assert run_dir.of("resumed") == [{"at": "step:two", "id": held["id"]}]
    assert len(run_dir.of("held")) == 1


def test_an_input_that_was_changed_while_it_was_held_is_what_the_step_runs_with(
    run_dir: RunDirectory,
) -> None:
    edits = {"paused": True, "inputs": {"count": 9, "unknown": 1, "name": "b"}}
    run_dir.control(**edits)
    found: list[object] = []

    @runplane.step
    def work(name: str, *rest: int, count: int = 0) -> object:
        return name, rest, count

    def workflow() -> None:
        found.append(work("a", 1, count=2))
        with runplane.step("other", count=3) as step:
            found.append(step.inputs)

    thread = threading.Thread(target=workflow)
    thread.start()
    try:
        run_dir.wait_for("held")
        run_dir.control(**edits, permits=1)
        until(lambda: len(run_dir.of("held")) == 2, "the second hold")
    finally:
        run_dir.control(permits=2)
        thread.join(20)
    assert found == [("b", (1,), 9), {"count": 3}]
    started = [report for report in run_dir.reports() if report.get("state") == "started"]
    assert started[0]["inputs"] == {"name": "b", "args": [1], "count": 9}


def test_what_is_too_large_for_a_line_is_put_into_a_file(run_dir: RunDirectory) -> None:
    @runplane.step
    def read(names: list[str], limit: int) -> str:
        return names[0][:1] * limit

    read(["n" * 70_000], 80_000)
    started, completed = run_dir.reports()
    assert started["inputs"]["limit"] == 80_000
    for marker, value in ((started["inputs"]["names"], ["n" * 70_000]), (completed["result"], "n" * 80_000)):
        content = (run_dir.path / "values" / marker["$file"]).read_bytes()
        assert (len(content), json.loads(content)) == (marker["bytes"], value)


async def test_a_held_async_step_leaves_the_event_loop_free(run_dir: RunDirectory) -> None:
    import asyncio

    run_dir.control(paused=True)
    turns = 0

    @runplane.step
    async def work() -> str:
        return "done"

    held = asyncio.create_task(work())
    while not run_dir.of("held") or turns < 5:
        turns += 1
        await asyncio.sleep(0.01)
        assert turns < 1000
    assert not held.done()
    run_dir.control(paused=False)
    assert await asyncio.wait_for(held, 20) == "done"


def _python(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=os.path.sep,
    )
