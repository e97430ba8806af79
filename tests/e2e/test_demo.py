"""The demo as it is: on the system that runs, and on one of its own."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.running_system import PROGRAM, REPOSITORY, RunningSystem

STEPS = ["stuck", "diagnosed", "killed", "restarted", "force-completed", "accounted", "dashboard"]


def told(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_it_plays_on_the_system_that_runs_and_leaves_it_running(system: RunningSystem) -> None:
    done = system.run("demo", "--pace", "2", "--json", timeout=110)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{system.output()}"
    steps = told(done.stdout)
    assert [step["step"] for step in steps] == STEPS
    assert steps[1]["processes"] >= 2
    assert system.up is not None
    assert system.up.poll() is None
    runs = json.loads(system.run("ps", "--all", "--json").stdout)["items"]
    assert sorted(run["status"] for run in runs) == ["completed", "failed", "killed"]


@pytest.mark.slow
def test_on_its_own_it_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    env |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*PROGRAM, "demo", "--pace", "2"], env=env, capture_output=True, text=True, timeout=115, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "asked by     operator (mcp)" in done.stdout
    assert "come out equal" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.slow
def test_interrupted_it_tidies_up(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    env |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    demo = subprocess.Popen(
        [*PROGRAM, "demo", "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    assert json.loads(demo.stdout.readline())["step"] == "stuck"
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=100)
    assert demo.returncode == 130, said
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def processes_of(directory: Path) -> list[str]:
    """Processes that name the directory in their environment or their argv."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in said:
            found.append(entry.name)
    return found
