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


def apply(system: RunningSystem, name: str, command: list[str], **more: Any) -> None:
    document = {"name": name, "command": command, **more}
    file = system.home.path / f"{name}.yaml"
    file.write_text(json.dumps(document))
    applied = system.run("workflows", "apply", str(file))
    assert applied.returncode == 0, applied.stderr


def start(system: RunningSystem, workflow: str, *options: str) -> str:
    started = system.run("run", workflow, "--json", *options)
    assert started.returncode == 0, started.stderr
    return str(json.loads(started.stdout)["run_id"])


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
    third = json.loads(system.run("restart", new_id, "--resume", "--json").stdout)["new_run_id"]
    told = until(system, third, lambda run: run["status"] == "failed")["failure"]
    assert told["kind"] == "shape_changed"
    assert "'work#2' came here then and was completed, and 'check#0' comes now" in told["message"]
    assert not (tmp_path / "effects").exists()
