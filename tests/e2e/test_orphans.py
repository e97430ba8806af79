"""Processes whose run is over: found by cgroup or by mark, left alone while their run is open, ended on demand."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import alive
from tests.running_system import RunningSystem


@pytest.fixture
def stray(system: RunningSystem) -> Iterator[Callable[[str], int]]:
    """Starts a process that carries the mark of a run, as one does that slipped away from a former agent."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run_id: str) -> int:
        directory = system.home.path.absolute() / "agent" / "runs" / run_id / "1"
        process = subprocess.Popen(["sleep", "600"], env={**os.environ, "RUNPLANE_DIR": str(directory)})
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def started(system: RunningSystem, tmp_path: Path) -> Callable[[], tuple[str, int]]:
    """Starts a run that sleeps; its id and the pid of its main process."""
    file = tmp_path / "sleeper.yaml"
    file.write_text("name: sleeper\ncommand: [sleep, '600']\n")
    assert system.run("workflows", "apply", str(file)).returncode == 0

    def start() -> tuple[str, int]:
        run_id = json.loads(system.run("run", "sleeper", "--json").stdout)["run_id"]
        run: dict[str, Any] = {}

        def runs() -> bool:
            run.update(json.loads(system.run("status", run_id, "--json").stdout))
            return bool(run["status"] == "running")

        system.until(runs, f"{run_id} runs")
        return run_id, run["attempts"][-1]["main"]["pid"]

    return start


def doctor(system: RunningSystem, *arguments: str, code: int = 0) -> dict[str, Any]:
    said = system.run("doctor", "--orphans", *arguments, "--json")
    assert said.returncode == code, said.stderr
    result: dict[str, Any] = json.loads(said.stdout)
    return result


def pids(processes: list[dict[str, Any]]) -> set[int]:
    return {one["pid"] for one in processes}


def test_what_is_left_of_an_ended_run_is_ended_and_an_open_run_is_not_touched(
    system: RunningSystem, started: Callable[[], tuple[str, int]], stray: Callable[[str], int]
) -> None:
    (kept, kept_pid), (over, over_pid) = started(), started()
    assert system.run("kill", over).returncode == 0
    left = stray(over)
    found = doctor(system)["orphans"]
    assert pids(found) == {left}
    assert (found[0]["run_id"], found[0]["status"], found[0]["by"]) == (over, "ended", "environment")
    shown = system.run("doctor", "--orphans").stdout
    assert str(left) in shown
    assert "--reap" in shown
    result = doctor(system, "--reap")
    assert (pids(result["ended"]), result["alive"], result["kept"]) == ({left}, [], [])
    assert not alive(left)
    assert not alive(over_pid)
    assert alive(kept_pid), f"{kept} is open"
    assert doctor(system)["orphans"] == []


def test_what_was_detached_on_purpose_is_ended_only_when_that_is_said(
    system: RunningSystem, started: Callable[[], tuple[str, int]]
) -> None:
    run_id, pid = started()
    assert system.run("force-complete", run_id, "--outcome", "completed", "--detach").returncode == 0
    assert [(one["pid"], one["status"]) for one in doctor(system)["orphans"]] == [(pid, "detached")]
    assert pids(doctor(system, "--reap")["kept"]) == {pid}
    assert alive(pid)
    assert pids(doctor(system, "--reap", "--detached")["ended"]) == {pid}
    assert not alive(pid)


def test_while_nobody_knows_which_runs_are_over_nothing_is_ended_unforced(
    system: RunningSystem, started: Callable[[], tuple[str, int]]
) -> None:
    _, pid = started()
    assert system.run("down").returncode == 0
    assert [(one["pid"], one["status"]) for one in doctor(system)["orphans"]] == [(pid, "unknown")]
    assert pids(doctor(system, "--reap")["kept"]) == {pid}
    assert alive(pid)
    assert pids(doctor(system, "--reap", "--force")["ended"]) == {pid}
    assert not alive(pid)


@pytest.mark.parametrize("arguments", [("--reap",), ("--detached",), ("--orphans", "--force")])
def test_options_that_make_no_sense_alone(system: RunningSystem, arguments: tuple[str, ...]) -> None:
    said = system.run("doctor", *arguments)
    assert said.returncode == 2
    assert "go with" in said.stderr
