import json
import subprocess
import sys
from pathlib import Path

import pytest

from runplane.emit import main
from tests.run_directory import RunDirectory


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    directory = RunDirectory(tmp_path / "run")
    monkeypatch.setenv("RUNPLANE_SDK_PROCESS", "")
    monkeypatch.setenv("RUNPLANE_DIR", str(directory.path))
    return directory


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["progress", "3", "10"], {"progress": {"done": 3, "total": 10}}),
        (["progress", "0.5"], {"progress": {"done": 0.5}}),
        (
            ["progress", "3", "--message=third table", "10", "--unit", "tables"],
            {"progress": {"done": 3, "total": 10, "message": "third table", "unit": "tables"}},
        ),
        (["step", "plan", "started"], {"step": "plan", "state": "started"}),
        (
            [
                "step",
                "plan",
                "started",
                "--inputs",
                '{"goal": "x", "token": "t"}',
                "--expected-seconds",
                "15",
            ],
            {
                "step": "plan",
                "state": "started",
                "inputs": {"goal": "x", "token": "***"},
                "expected_seconds": 15,
            },
        ),
        (
            ["step", "plan", "completed", "--result", "[1, null]"],
            {"step": "plan", "state": "completed", "result": [1, None]},
        ),
        (
            ["step", "plan", "failed", "--error", "no such table"],
            {"step": "plan", "state": "failed", "error": "no such table"},
        ),
        (["checkpoint", '{"page": 4}'], {"checkpoint": {"page": 4}}),
        (["variables", '{"batch": 7}'], {"variables": {"batch": 7}}),
        (["log", "WARN", "low on space"], {"log": {"level": "warning", "message": "low on space"}}),
        (["log", "info", "--", "--not-an-option"], {"log": {"level": "info", "message": "--not-an-option"}}),
    ],
)
def test_a_report_is_written(argv: list[str], expected: dict[str, object], run_dir: RunDirectory) -> None:
    assert main(argv) == 0
    (said,) = run_dir.reports()
    del said["t"]
    said.pop("id", None)
    assert said == expected


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "say what to report"),
        (["frob"], "'frob' is nothing to report"),
        (["progress"], "takes 1 or 2 arguments and got 0"),
        (["progress", "many"], "done is a number, not 'many'"),
        (["progress", "1", "nan"], "total is a finite number"),
        (["progress", "1", "2", "3"], "got 3"),
        (["progress", "1", "--message"], "--message needs a value"),
        (["progress", "1", "--result", "1"], "has no option --result (it has: --message, --unit)"),
        (["step", "plan", "sleeping"], "use one of started, completed, failed"),
        (["step", "plan", "completed", "--result", "{"], "--result is not JSON"),
        (["step", "plan", "completed", "--result", "NaN"], "NaN is not a JSON number"),
        (["checkpoint", "[1]"], "must be a JSON object"),
        (["checkpoint", "[" * 200_000], "is not JSON"),
        (["variables", "x"], "variables is not JSON"),
        (["log", "loud", "x"], "'loud' is no level"),
        (["log", "info"], "takes 2 arguments and got 1"),
    ],
)
def test_what_is_no_report_is_refused(
    argv: list[str], complaint: str, run_dir: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert "runplane emit --help" in said.err
    assert said.out == ""
    assert run_dir.reports() == []


def test_outside_a_run_it_does_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNPLANE_DIR", raising=False)
    assert main(["progress", "1", "--json"]) == 0
    said = capsys.readouterr()
    assert "not in a run" in said.err
    assert json.loads(said.out) == {"emitted": False}
    assert main(["progress", "x"]) == 2


def test_what_cannot_be_written_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNPLANE_SDK_PROCESS", "")
    monkeypatch.setenv("RUNPLANE_DIR", str(tmp_path / "gone"))
    assert main(["progress", "1"]) == 1
    assert main(["checkpoint", "{}"]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_a_checkpoint_that_is_too_large_is_a_failure(
    run_dir: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoint", json.dumps({"text": "x" * (17 << 20)})]) == 1
    assert "put what is large into a file" in capsys.readouterr().err
    assert run_dir.reports() == []


def test_long_texts_are_cut(run_dir: RunDirectory) -> None:
    assert main(["progress", "1", "--message", "é" * 100_000]) == 0
    assert main(["log", "info", "\U0001f600" * 100_000]) == 0
    assert run_dir.of("progress")[0]["message"] == "é" * 4096
    assert len(run_dir.of("log")[0]["message"]) == 8192


def test_it_says_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "Example:" in said
    assert "runplane emit progress" in said


def test_as_a_program_it_starts_without_what_it_does_not_need(run_dir: RunDirectory) -> None:
    program = (
        "import sys; from runplane.emit import main; code = main(sys.argv[1:]);"
        "heavy = {'argparse', 'click', 'rich', 'pydantic', 'asyncio', 'inspect'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, "progress", "1", "2"],
        env=run_dir.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert run_dir.of("progress") == [{"done": 1, "total": 2}]
