"""Stacks of real Python processes; what is no Python, may not be read or is gone has none, and says why."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.watch import stacks


@pytest.fixture
def python(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    file = tmp_path / "job.py"
    file.write_text(
        "import threading, time\n"
        "class Job:\n"
        "    def go(self): time.sleep(600)\n"
        "threading.Thread(target=Job().go, name='worker', daemon=True).start()\n"
        "print('begun', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-S", str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_each_thread_has_its_calls_innermost_first(python: subprocess.Popen[str]) -> None:
    found = stacks.look([python.pid])
    by_name = {stack.name: stack.frames for stack in found.by_thread.values()}
    assert found.problems == {}
    assert [(frame.function, frame.line, frame.own) for frame in by_name["MainThread"]] == [
        ("<module>", 6, True)
    ]
    assert (by_name["worker"][0].function, by_name["worker"][0].line) == ("Job.go", 3)
    assert not by_name["worker"][-1].own  # of the threading module
    assert python.pid in found.by_thread
    assert python.poll() is None


def test_what_is_no_python_is_passed_over() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        assert stacks.look([process.pid]) == stacks.Stacks()
        process.kill()


def test_one_that_is_gone_is_passed_over(python: subprocess.Popen[str]) -> None:
    python.kill()
    python.wait()
    assert stacks.look([python.pid]) == stacks.Stacks()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'Error: Permission Denied: try sudo' >&2; exit 1", "may not be read by the agent's user"),
        ("echo 'Error: Failed to find python version' >&2; exit 1", "Failed to find python version"),
        ("exit 1", "no reason was given"),
        ("echo '[{}'", "was not understood"),
        ("sleep 600", "did not answer within"),
    ],
)
def test_a_stack_that_cannot_be_read_says_why(
    script: str, why: str, python: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = tmp_path / "py-spy"
    spy.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    spy.chmod(0o755)
    monkeypatch.setattr(stacks, "_spy", lambda: str(spy))
    monkeypatch.setattr(stacks, "_SECONDS", 0.3)
    assert why in stacks.look([python.pid]).problems[python.pid]


def test_without_py_spy_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_spy", lambda: None)
    assert "py-spy is not installed" in stacks.look([os.getpid()]).problems[os.getpid()]


def test_of_very_many_the_first_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_runs_python", lambda _: True)
    monkeypatch.setattr(stacks, "_stacks_of", lambda _spy, _pid, _end: {})
    assert list(stacks.look(range(stacks.MOST_PROCESSES + 2)).problems) == [
        stacks.MOST_PROCESSES,
        stacks.MOST_PROCESSES + 1,
    ]
