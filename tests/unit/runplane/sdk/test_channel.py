import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import runplane
from runplane.sdk import report
from tests.run_directory import RunDirectory


def test_lines_of_threads_never_mix(run_dir: RunDirectory) -> None:
    def work(number: int) -> None:
        for turn in range(50):
            report({"variables": {"who": number, "turn": turn, "text": "x" * 20_000}})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    seen = sorted((said["who"], said["turn"]) for said in run_dir.of("variables"))
    assert seen == [(number, turn) for number in range(6) for turn in range(50)]


def test_lines_of_processes_never_mix(run_dir: RunDirectory) -> None:
    program = """
import os, runplane
runplane.progress(0)
children = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        for turn in range(50):
            runplane.variables(who=number, turn=turn, text="x" * 20_000)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""
    subprocess.run([sys.executable, "-c", program], env=run_dir.environment(), timeout=60, check=True)

    seen = sorted((said["who"], said["turn"]) for said in run_dir.of("variables"))
    assert seen == [(number, turn) for number in range(4) for turn in range(50)]


def test_a_process_that_closed_every_descriptor_goes_on_reporting(run_dir: RunDirectory) -> None:
    program = """
import os, runplane
runplane.progress(1)
os.closerange(3, 200)
runplane.progress(2)
"""
    subprocess.run([sys.executable, "-c", program], env=run_dir.environment(), timeout=60, check=True)
    assert [said["done"] for said in run_dir.of("progress")] == [1, 2]


def test_a_full_disk_is_said_once_and_ends_neither_the_workflow_nor_the_next_line(
    run_dir: RunDirectory,
) -> None:
    """A limit on the file's size cuts a line as a full disk does; then there is room again."""
    program = """
import resource, signal, runplane
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
for done in range(9):
    runplane.progress(done, 9, "x" * 40)
try:
    runplane.checkpoint({"a": 1})
except OSError as error:
    print("checkpoint:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
runplane.progress(9, 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=run_dir.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr.count("cannot report to") == 1
    assert done.stdout.startswith("checkpoint: the checkpoint could not be written")
    whole, torn, last = run_dir.lines()
    assert b'"done":0' in whole
    assert not torn.endswith(b"}\n")
    assert b'"done":9' in last
    assert last.endswith(b"}\n")


def test_a_directory_that_is_not_there_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNPLANE_SDK_PROCESS", "")
    monkeypatch.setenv("RUNPLANE_DIR", str(tmp_path / "gone"))

    for done in range(3):
        runplane.progress(done)
    with runplane.step("plan") as plan:
        plan.result = 1

    said = capsys.readouterr().err
    assert said.count("cannot report to") == 1
    assert "No such file or directory" in said


def test_importing_is_light(tmp_path: Path) -> None:
    heavy = "{'typing', 'inspect', 'dataclasses', 'asyncio', 'logging', 'pathlib', 'threading', 'click', 'pydantic'}"
    program = f"import sys, runplane, runplane.sdk; print(sorted({heavy} & set(sys.modules)))"
    root = Path(runplane.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(root), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
