"""Runs that fail go on as their workflows say, or by an operator's decision, on the whole system."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters

from runplane.bus import Bus
from tests.running_system import REPOSITORY, RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

LIMIT = 60.0
FAILS_BEFORE = "import os, sys; sys.exit(0 if int(os.environ['RUNPLANE_ATTEMPT']) > int(sys.argv[1]) else 3)"
RESUMED = """
import os, pathlib, signal, sys
import runplane
place = pathlib.Path(sys.argv[1])

@runplane.step
def work(name):
    with (place / "effects").open("a") as file:
        file.write(name + "\\n")
    return name.upper()

done = [work("plan"), work("fetch")]
(place / "model.bin").write_bytes(b"\\0" * 300_000)
runplane.checkpoint({"done": done}, files={"model": "model.bin"}, wait=20.0)
if (place / "hang").exists():
    while True:
        signal.pause()
if (place / "changed").exists():
    with runplane.step("check"):
        (place / "effects").touch()
done.append(work("report"))
found = runplane.checkpoint_files()
size = os.path.getsize(found["model"]) if found else 0
print(",".join(done), runplane.run().is_resumed, size)
"""


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


def call(system: RunningSystem, method: str, path: str, body: Any) -> dict[str, Any]:
    answer = httpx.request(
        method, f"{system.url}/api/v1{path}", json=body, headers=system.headers, timeout=30
    )
    assert answer.is_success, answer.text
    return dict(answer.json())


def apply(system: RunningSystem, name: str, command: list[str], **more: Any) -> None:
    call(system, "PUT", f"/workflows/{name}", {"name": name, "command": command, **more})


def start(system: RunningSystem, workflow: str, **params: Any) -> str:
    return str(call(system, "POST", "/runs", {"workflow": workflow, "params": params})["run_id"])


def kill(system: RunningSystem, run_id: str) -> dict[str, Any]:
    return dict(call(system, "POST", f"/runs/{run_id}/kill?wait=20", {"force": True})["run"])


def run_of(system: RunningSystem, run_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{system.url}/api/v1/runs/{run_id}", headers=system.headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def until(system: RunningSystem, run_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + LIMIT
    while True:
        run = run_of(system, run_id)
        if holds(run):
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.05)


def awaits(run: dict[str, Any]) -> bool:
    return any(one["type"] == "awaiting_decision" for one in run["conditions"])


def test_it_is_attempted_again_and_says_when(system: RunningSystem) -> None:
    apply(
        system, "flaky", [sys.executable, "-c", FAILS_BEFORE, "1"], retry={"max_attempts": 3, "initial": "2s"}
    )
    run_id = start(system, "flaky")
    waiting = until(system, run_id, lambda run: bool(run["next_attempt"] and run["next_attempt"]["at"]))
    assert (waiting["status"], waiting["next_attempt"]["attempt"]) == ("pending", 2)
    assert "next attempt" in system.run("status", run_id).stdout
    ended = until(system, run_id, lambda run: run["status"] == "completed")
    assert [one["ending"] for one in ended["attempts"]] == ["failed", None]
    assert ended["failure"] is None


def test_a_kill_ends_the_wait(system: RunningSystem) -> None:
    apply(
        system, "late", [sys.executable, "-c", FAILS_BEFORE, "1"], retry={"max_attempts": 3, "initial": "5m"}
    )
    run_id = start(system, "late")
    until(system, run_id, lambda run: bool(run["next_attempt"] and run["next_attempt"]["at"]))
    killed = system.run("kill", run_id, "--reason", "never mind", "--json")
    assert killed.returncode == 0, killed.stderr
    run = run_of(system, run_id)
    receipt = run["kill_receipt"]
    assert (run["status"], run["next_attempt"], receipt["verified"]) == ("killed", None, True)
    assert (receipt["requested_by"], receipt["via"], receipt["reason"]) == ("operator", "cli", "never mind")


def test_another_workflow_runs_when_all_attempts_failed(system: RunningSystem, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    program = "import os, pathlib, sys; pathlib.Path(sys.argv[2]).write_text(sys.argv[1])"
    apply(
        system,
        "cleanup",
        [sys.executable, "-c", program, "{failed_run}", str(told)],
        params={"type": "object", "properties": {"failed_run": {"type": "object"}}},
    )
    apply(
        system,
        "doomed",
        [sys.executable, "-c", FAILS_BEFORE, "9"],
        retry={"max_attempts": 2, "initial": "100ms"},
        recovery={"on_failure": "cleanup"},
    )
    run_id = start(system, "doomed")
    failed = until(system, run_id, lambda run: bool(run["recovered_by"]))
    assert (failed["status"], failed["attempt"]) == ("failed", 2)
    follower = until(system, failed["recovered_by"], lambda run: run["status"] == "completed")
    assert (follower["workflow"], follower["recovers"]) == ("cleanup", run_id)
    assert follower["requested_by"] == "policy:recovery"
    said = json.loads(told.read_text())
    assert (said["run_id"], said["failure"]["kind"]) == (run_id, "exit_code")


async def test_a_dead_end_is_decided_at_a_terminal_by_mcp_and_over_http(system: RunningSystem) -> None:
    apply(
        system,
        "dead-end",
        [sys.executable, "-c", FAILS_BEFORE, "2"],
        retry={"initial": "100ms"},
        recovery={"chain": [{"do": "retry"}, {"do": "escalate"}]},
    )
    at_a_terminal, by_mcp, over_http, declared = [start(system, "dead-end") for _ in range(4)]
    for run_id in (at_a_terminal, by_mcp, over_http, declared):
        run = until(system, run_id, awaits)
        assert (run["status"], run["attempt"]) == ("pending", 2)

    listed = system.run("ps", "--status", "awaiting_decision")
    assert at_a_terminal in listed.stdout
    assert "decide" in listed.stdout
    async with httpx.AsyncClient(base_url=system.url, headers=system.headers, timeout=30) as http:
        metrics = (await http.get("/metrics")).text
    assert "runplane_runs_awaiting_decision 4" in metrics
    decided = system.run("decide", at_a_terminal, "retry", "--reason", "the API is back")
    assert decided.returncode == 0, decided.stderr
    assert "goes on: attempt 3" in decided.stdout or "completed" in decided.stdout

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server.main"],
        env={"RUNPLANE_HOME": str(system.home.path), "PYTHONPATH": str(REPOSITORY)},
    )
    with anyio.fail_after(LIMIT):
        async with Client(command) as client:
            found = await client.call_tool("list_runs_by_status", {"status": "awaiting_decision"})
            assert isinstance(found.structured_content, dict)
            runs = {one["run_id"]: one for one in found.structured_content["runs"]}
            assert runs.keys() == {by_mcp, over_http, declared}
            assert "exit code 3" in runs[by_mcp]["awaiting_decision"]
            given_up = await client.call_tool("decide_workflow", {"run_id": by_mcp, "decision": "give_up"})
            assert not given_up.is_error
            assert isinstance(given_up.structured_content, dict)
            assert given_up.structured_content["status"] == "failed"
    async with httpx.AsyncClient(base_url=system.url, headers=system.headers, timeout=30) as http:
        answer = await http.post(f"/api/v1/runs/{over_http}/decide?wait=20", json={"decision": "resume"})
    assert answer.status_code == 200, answer.text
    assert system.run("force-complete", declared, "--outcome", "completed").returncode == 0

    assert until(system, at_a_terminal, lambda run: run["status"] == "completed")["attempt"] == 3
    assert until(system, over_http, lambda run: run["status"] == "completed")["attempt"] == 3
    observed = run_of(system, declared)["override"]["observed"]
    assert "attempt 2 on host" in observed
    again = system.run("decide", by_mcp, "retry")
    assert again.returncode == 4
    assert "waits for no decision" in again.stderr


def test_time_is_up_for_a_step_an_attempt_a_run_and_in_the_queue(system: RunningSystem) -> None:
    program = (
        "import time, runplane\n"
        "with runplane.step('outer'):\n"
        "    with runplane.step('inner'):\n"
        "        pass\n"
        "    time.sleep(600)\n"
    )
    retried = {"retry": {"max_attempts": 2, "initial": "100ms"}}
    apply(system, "slow-step", [sys.executable, "-c", program], sdk=True, timeouts={"step": "1s"}, **retried)
    apply(system, "slow", ["sleep", "600"], timeout="1s", **retried)
    apply(
        system,
        "slow-run",
        ["sleep", "600"],
        timeout="1s",
        timeouts={"run": "2500ms"},
        retry={"max_attempts": 50, "initial": "100ms"},
    )
    apply(system, "nobodys", ["true"], pool="nobody-serves-it", timeouts={"queue": "1s"})
    runs = {workflow: start(system, workflow) for workflow in ("slow-step", "slow", "slow-run", "nobodys")}
    ended = {
        name: until(system, run_id, lambda run: run["ended_at"] is not None) for name, run_id in runs.items()
    }
    kinds = {workflow: (run["status"], run["failure"]["kind"]) for workflow, run in ended.items()}
    assert kinds == {
        "slow-step": ("timed_out", "step_timeout"),
        "slow": ("timed_out", "timeout"),
        "slow-run": ("timed_out", "run_timeout"),
        "nobodys": ("timed_out", "queue_timeout"),
    }
    assert "its step outer took longer than 1 s" in ended["slow-step"]["failure"]["message"]
    assert [len(ended[name]["attempts"]) for name in ("slow-step", "slow", "nobodys")] == [2, 2, 0]
    assert len(ended["slow-run"]["attempts"]) >= 2


def test_runs_wait_for_each_other_are_refused_or_replaced(system: RunningSystem) -> None:
    params = {"type": "object", "properties": {"key": {"type": "string"}}}
    for when_full in ("queue", "reject", "replace"):
        limit = {"limit": 1, "when_full": when_full, "key": "{key}"}
        apply(system, when_full, ["sleep", "600"], params=params, concurrency=limit)
    first, second, third = [start(system, "queue", key="a") for _ in range(3)]
    beside = start(system, "queue", key="b")
    for run_id in (first, beside):
        until(system, run_id, lambda run: run["status"] == "running")
    assert all(run_of(system, run_id)["queued"] for run_id in (second, third))
    assert "waits for its turn" in system.run("diagnose", second).stdout
    kill(system, first)
    until(system, second, lambda run: run["status"] == "running")
    assert run_of(system, third)["queued"]
    assert kill(system, third)["status"] == "canceled"

    inside = start(system, "reject", key="a")
    refused = system.run("run", "reject", "-p", "key=a")
    assert refused.returncode == 4
    assert f"{inside} is open" in refused.stderr

    old = start(system, "replace", key="a")
    until(system, old, lambda run: run["status"] == "running")
    new = start(system, "replace", key="a")
    until(system, new, lambda run: run["status"] == "running")
    replaced = run_of(system, old)
    assert (replaced["status"], replaced["kill_receipt"]["requested_by"]) == ("killed", "policy:concurrency")
    again = call(system, "POST", f"/runs/{new}/restart?wait=20", {})["new_run_id"]
    until(system, again, lambda run: run["status"] == "running")
    for run_id in (second, beside, inside, again):
        kill(system, run_id)


def test_restarted_where_it_was(system: RunningSystem, tmp_path: Path) -> None:
    program = tmp_path / "resumed.py"
    program.write_text(RESUMED)
    (tmp_path / "hang").touch()
    apply(system, "resumed", [sys.executable, str(program), str(tmp_path)], sdk=True, workspace=str(tmp_path))
    run_id = start(system, "resumed")
    kept = until(system, run_id, lambda run: run["checkpoint"] is not None)["checkpoint"]
    (tmp_path / "hang").unlink()
    restarted = system.run("restart", run_id, "--resume", "--json")
    assert restarted.returncode == 0, restarted.stderr
    new_id = json.loads(restarted.stdout)["new_run_id"]
    new = until(system, new_id, lambda run: run["status"] == "completed")
    assert (new["restarted_from"], new["attempts"][0]["resumed"]) == (run_id, True)
    assert new["checkpoint"]["id"] != kept["id"]
    assert (tmp_path / "effects").read_text().split() == ["plan", "fetch", "report"]
    assert "PLAN,FETCH,REPORT True 300000" in system.run("logs", new_id).stdout

    (tmp_path / "changed").touch()
    (tmp_path / "effects").unlink()
    third = call(system, "POST", f"/runs/{new_id}/restart?wait=20", {"resume": True})["new_run_id"]
    told = until(system, third, lambda run: run["status"] == "failed")["failure"]
    assert told["kind"] == "shape_changed"
    assert "'work#2' came here then and was completed, and 'check#0' comes now" in told["message"]
    assert not (tmp_path / "effects").exists()


def test_checkpoints_are_listed_shown_and_pruned(system: RunningSystem, tmp_path: Path) -> None:
    program = tmp_path / "many.py"
    program.write_text(
        "import pathlib, runplane\n"
        "for n in range(7):\n"
        "    pathlib.Path('model.bin').write_bytes(bytes([n]) * 1000)\n"
        "    runplane.checkpoint({'n': n}, files={'model': 'model.bin'}, wait=20.0)\n"
    )
    apply(
        system, "many", [sys.executable, str(program)],
        sdk=True, workspace=str(tmp_path), recovery={"keep": 3},
    )  # fmt: skip
    run_id = start(system, "many")
    until(system, run_id, lambda run: run["status"] == "completed")
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + LIMIT
    while [one["pruned"] for one in found] != [True] * 3 + [False] * 4:
        assert time.monotonic() < deadline, found
        found = call(system, "GET", f"/runs/{run_id}/checkpoints", None)["items"]
        time.sleep(0.05)
    shown = json.loads(system.run("checkpoints", run_id, "--show", found[-1]["id"][:12]).stdout)
    assert (shown["state"], shown["files"]["model"]["bytes"]) == ({"n": 6}, 1000)
    gone = system.run("checkpoints", run_id, "--show", found[0]["id"])
    assert gone.returncode == 3
    assert "it was pruned" in gone.stderr
    assert "4 checkpoints can be gone on from" in system.run("checkpoints", run_id).stderr


def test_a_backup_gives_an_equal_read_model(system: RunningSystem, tmp_path: Path) -> None:
    place, home = tmp_path / "backup", tmp_path / "restored"
    saved = system.run("backup", str(place), "--json")
    assert saved.returncode == 0, saved.stderr
    assert json.loads(saved.stdout)["runs"] > 0
    again = system.run("backup", str(place))
    assert again.returncode != 0
    assert "is not empty" in again.stderr

    restored = system.run("restore", str(place), "--home", str(home), "--json")
    assert restored.returncode == 0, restored.stderr
    said = json.loads(restored.stdout)
    assert (said["equal"], said["runs"]) == (True, json.loads(saved.stdout)["runs"])
    twice = system.run("restore", str(place), "--home", str(home))
    assert twice.returncode != 0
    assert "already" in twice.stderr

    with (place / "RUNPLANE_LOG.snapshot").open("r+b") as file:
        file.seek(100)
        file.write(b"\0\0\0\0")
    damaged = system.run("restore", str(place), "--home", str(tmp_path / "other"))
    assert damaged.returncode != 0
    assert "RUNPLANE_LOG.snapshot is damaged" in damaged.stderr


CHAINED = """
import os, runplane
with runplane.step("work") as step:
    step.result = step.result or 1
runplane.checkpoint({"attempt": os.environ["RUNPLANE_ATTEMPT"]}, wait=20.0)
raise SystemExit(3)
"""


async def test_a_chain_is_followed_to_its_end_and_what_is_missing_is_said(
    system: RunningSystem, tmp_path: Path
) -> None:
    program = tmp_path / "chained.py"
    program.write_text(CHAINED)
    chain = [{"do": "resume"}, {"do": "restart"}, {"do": "escalate"}]
    apply(
        system, "chained", [sys.executable, str(program)],
        sdk=True, retry={"initial": "100ms"}, recovery={"chain": chain},
    )  # fmt: skip
    run_id = start(system, "chained")
    run = until(system, run_id, awaits)
    assert [one["resumed"] for one in run["attempts"]] == [False, True, False]
    steps = call(system, "GET", f"/runs/{run_id}/steps", None)["items"]
    assert [(one["attempt"], one["started_at"] is None) for one in steps] == [
        (1, False),
        (2, True),
        (3, False),
    ]

    bus = await Bus.connect(system.endpoint.nats_url, name="test")
    await bus.objects.remove(run["checkpoint"]["id"])
    await bus.close()
    call(system, "POST", f"/runs/{run_id}/decide?wait=20", {"decision": "resume"})
    missing = until(system, run_id, lambda run: run["attempt"] == 4 and awaits(run))
    assert missing["failure"]["kind"] == "resume_missing"
    assert "its last checkpoint is not in the object store any more" in missing["failure"]["message"]
    assert missing["checkpoint"] == run["checkpoint"]
    call(system, "POST", f"/runs/{run_id}/decide?wait=20", {"decision": "restart"})
    again = until(system, run_id, lambda run: run["attempt"] == 5 and awaits(run))
    assert again["failure"]["kind"] == "exit_code"
    call(system, "POST", f"/runs/{run_id}/decide", {"decision": "give_up"})
    assert until(system, run_id, lambda run: run["status"] == "failed")["attempt"] == 5


def test_a_stuck_attempt_is_followed_by_another(system: RunningSystem) -> None:
    program = "import os, sys, time\nif os.environ['RUNPLANE_ATTEMPT'] == '1': time.sleep(600)\n"
    apply(
        system, "hangs-once", [sys.executable, "-c", program],
        stuck={"silent": "1s", "action": "retry"}, retry={"max_attempts": 2, "initial": "100ms"},
    )  # fmt: skip
    ended = until(system, start(system, "hangs-once"), lambda run: run["ended_at"] is not None)
    assert (ended["status"], [one["ending"] for one in ended["attempts"]]) == ("completed", ["stuck", None])
    assert ended["attempts"][0]["verified_by"]
