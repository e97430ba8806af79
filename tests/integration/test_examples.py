"""The examples as real processes in a run directory, and by themselves."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from runplane.contract.spec import render
from runplane.contract.workflow import WorkflowDefinition
from tests.run_directory import RunDirectory, until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Example:
    """One example in a run of its own; whatever it starts is ended with the test."""

    def __init__(self, run_dir: RunDirectory, tmp_path: Path) -> None:
        self.run_dir = run_dir
        self.stdout = tmp_path / "stdout.log"
        self._tmp = tmp_path / "tmp"
        self._tmp.mkdir()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, directory: str, *argv: str, run_dir: RunDirectory | None = None, **env: str
    ) -> subprocess.Popen[bytes]:
        environment = (run_dir or self.run_dir).environment(
            TMPDIR=str(self._tmp), PYTHONUNBUFFERED="1", **env
        )
        with self.stdout.open("ab") as out:
            process = subprocess.Popen(
                argv,
                cwd=EXAMPLES / directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def python(
        self, directory: str, *argv: str, run_dir: RunDirectory | None = None
    ) -> subprocess.Popen[bytes]:
        return self.start(directory, sys.executable, *argv, run_dir=run_dir)

    def processes(self) -> list[psutil.Process]:
        """Every living process that has this run in its environment, wherever it went."""
        mark = str(self.run_dir.path)
        return [
            process for process in psutil.process_iter() if _environment(process).get("RUNPLANE_DIR") == mark
        ]

    def end(self) -> None:
        """Kill whatever is left, until nothing is."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait(20)
        until(self._swept, "the end of every process of the run")

    def output(self) -> str:
        return self.stdout.read_text()

    def temporary_files(self) -> list[Path]:
        return list(self._tmp.iterdir())

    def _swept(self) -> bool:
        left = self.processes()
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        return not left


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:
        return {}


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    running = Example(RunDirectory(tmp_path / "run"), tmp_path)
    try:
        yield running
    finally:
        running.end()
    assert running.processes() == []


def test_lina_finishes_with_progress_and_a_report(example: Example) -> None:
    process = example.python("lina", "lina.py", "--pace", "0.5")

    assert process.wait(60) == 0, example.output()
    run_dir = example.run_dir
    said = run_dir.of("progress")
    assert [one["done"] for one in said] == list(range(41))
    assert {(one["total"], one["unit"]) for one in said} == {(40, "issues")}
    assert [step for step in run_dir.steps() if step[2] == "completed"] == [
        (name, 0, "completed") for name in ("load", "analyse", "group", "summarize", "write_report")
    ]
    assert len(run_dir.of("checkpoint")) == 8
    report = (run_dir.path / "lina-report.md").read_text()
    assert "40 issues become 34." in report
    assert "LAR-225 into LAR-224" in report
    assert "[40/40] LAR-250" in example.output()


def test_lina_works_without_runplane(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RUNPLANE_DIR")}
    program = EXAMPLES / "lina" / "lina.py"
    done = subprocess.run(
        [sys.executable, "-S", "lina.py", "--pace", "0", "--output", str(report)],
        cwd=program.parent,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    assert report.exists()


def test_lina_goes_on_behind_its_last_checkpoint(example: Example, tmp_path: Path) -> None:
    first = example.python("lina", "lina.py", "--pace", "20")
    until(lambda: len(example.run_dir.of("checkpoint")) >= 2, "two checkpoints")
    first.kill()
    first.wait(20)
    kept = len(example.run_dir.of("checkpoint")[-1]["analysed"])

    again = RunDirectory(tmp_path / "again")
    again.resume_from(example.run_dir)
    second = example.python("lina", "lina.py", "--pace", "0.2", run_dir=again)

    assert second.wait(60) == 0, example.output()
    assert [one["done"] for one in again.of("progress")] == list(range(kept, 41))
    assert again.reports()[0]["recorded"] is True
    assert f"{kept} issues are analysed already" in example.output()
    assert "40 issues become 34." in (again.path / "lina-report.md").read_text()


def test_stuck_lina_makes_no_progress_and_leaves_a_daemon_that_ignores_sigterm(example: Example) -> None:
    main = example.python("lina", "lina.py", "--mode", "stuck", "--pace", "0.1")
    until(lambda: "Asking the API" in example.output(), "the request")
    until(lambda: len(_connections(main.pid)) == 1, "the connection")
    until(lambda: len(example.processes()) == 2, "the main process and the daemon")
    (daemon,) = (process for process in example.processes() if process.pid != main.pid)

    assert os.getsid(daemon.pid) not in (os.getsid(0), main.pid)
    assert daemon.pid not in [child.pid for child in psutil.Process(main.pid).children(recursive=True)]
    with pytest.raises(subprocess.TimeoutExpired):
        main.wait(1.5)
    assert [one["done"] for one in example.run_dir.of("progress")] == [0]
    assert example.run_dir.steps()[-1] == ("analyse", 0, "started")

    main.terminate()
    assert main.wait(20) == -signal.SIGTERM
    daemon.send_signal(signal.SIGTERM)
    with pytest.raises(psutil.TimeoutExpired):
        daemon.wait(0.3)
    example.end()
    assert example.processes() == []


def test_looping_lina_prints_the_same_lines_without_an_end(example: Example) -> None:
    main = example.python("lina", "lina.py", "--mode", "loop", "--pace", "0.1")
    until(lambda: example.output().count("429 Too Many Requests") >= 12, "twelve tries")

    assert main.poll() is None
    assert [one["done"] for one in example.run_dir.of("progress")] == [0]
    lines = [line for line in example.output().splitlines() if "LAR-211" in line]
    assert len(set(lines)) == 2


@pytest.mark.parametrize("with_runplane", [False, True], ids=["printf", "emit"])
def test_the_backup_reports_and_cleans_up(with_runplane: bool, example: Example, tmp_path: Path) -> None:
    path = _path(tmp_path, with_runplane=with_runplane)
    destination = tmp_path / "backups"
    process = example.start("shell", "sh", "backup.sh", "6", "0", str(destination), PATH=path)

    assert process.wait(60) == 0, example.output()
    run_dir = example.run_dir
    assert [one["done"] for one in run_dir.of("progress")] == list(range(1, 10))
    assert [(said["step"], said["state"]) for said in run_dir.reports() if "step" in said] == [
        (name, state)
        for name in ("generate", "archive", "verify", "store")
        for state in ("started", "completed")
    ]
    results = [said["result"] for said in run_dir.reports() if "result" in said]
    archive = destination / "backup.tar.gz"
    assert results == ([{"bytes": archive.stat().st_size}] if with_runplane else [])
    with tarfile.open(archive) as tar:
        assert len([name for name in tar.getnames() if name.endswith(".csv")]) == 6
    assert example.temporary_files() == []


def test_the_backup_ends_and_cleans_up_when_it_is_asked_to(example: Example, tmp_path: Path) -> None:
    process = example.start("shell", "sh", "backup.sh", "5", "600", PATH=_path(tmp_path, with_runplane=False))
    example.run_dir.wait_for("progress")

    process.terminate()

    assert process.wait(20) == 143
    assert example.temporary_files() == []
    until(lambda: example.processes() == [], "the end of its children", seconds=5)


def test_the_counter_counts(example: Example) -> None:
    process = example.python("counter", "counter.py", "--count", "5", "--interval", "0")

    assert process.wait(30) == 0
    assert example.output().splitlines() == ["1", "2", "3", "4", "5"]
    assert [one["done"] for one in example.run_dir.of("progress")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("fail_at", "exit_code", "ended", "counted"), [("3", "0", 1, 3), ("3", "7", 7, 3), ("0", "9", 9, 5)]
)
def test_the_counter_ends_as_it_is_told(
    fail_at: str, exit_code: str, ended: int, counted: int, example: Example
) -> None:
    arguments = ("--count", "5", "--interval", "0", "--fail-at", fail_at, "--exit-code", exit_code)
    process = example.python("counter", "counter.py", *arguments)

    assert process.wait(30) == ended
    assert len(example.run_dir.of("progress")) == counted


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_a_workflow_file_starts_with_nothing_but_its_defaults(path: Path) -> None:
    """Every place in the argv is a parameter with a default, and every file the argv names is there."""
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    properties = workflow["params"]["properties"]
    WorkflowDefinition.model_validate(workflow)

    for argument in workflow["command"]:
        for name in re.findall(r"\{(\w+)\}", argument):
            assert "default" in properties[name], f"{name} of {path}"
    program = render(workflow["command"][1], {name: one.get("default") for name, one in properties.items()})
    assert (path.parent / workflow["workspace"] / program).is_file()


def test_the_documented_shell_and_node_reporters_work(example: Example) -> None:
    document = (ROOT / "docs" / "run-directory.md").read_text()
    blocks = dict(re.findall(r"^```(sh|js) runnable\n(.*?)^```", document, re.MULTILINE | re.DOTALL))
    runners = {"sh": "sh", "js": shutil.which("node")}

    assert set(blocks) == set(runners)
    for language, text in blocks.items():
        runner = runners[language]
        if runner is None:
            continue  # there is no Node here; the shell's block is run everywhere
        before = len(example.run_dir.reports())
        program = example.run_dir.path / f"program.{language}"
        program.write_text(text)
        process = example.start("counter", runner, str(program))
        assert process.wait(60) == 0, example.output()
        said = example.run_dir.reports()[before:]
        assert {key for report in said for key in report} >= {
            "t",
            "progress",
            "step",
            "state",
            "checkpoint",
        }, language


def _connections(pid: int) -> list[Any]:
    return [
        one for one in psutil.Process(pid).net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED
    ]


def _path(tmp_path: Path, *, with_runplane: bool) -> str:
    """A PATH with the system's tools, and with `runplane` exactly if it is wanted."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in (
        "sh",
        "awk",
        "mktemp",
        "rm",
        "date",
        "mkdir",
        "sleep",
        "tar",
        "gzip",
        "wc",
        "tr",
        "grep",
        "cp",
        "mv",
    ):
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    if with_runplane:
        program = tools / "runplane"
        program.write_text(f'#!/bin/sh\nshift\nexec {json.dumps(sys.executable)} -m runplane.emit "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(tools)
