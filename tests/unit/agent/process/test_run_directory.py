import json
from pathlib import Path

import pytest

from agent.process.errors import LaunchError, TornFile
from agent.process.records import ExitRecord, ResourceUsage
from agent.process.run_directory import RunDirectory

PROCESS = {
    "run_id": "run_000000000001",
    "attempt": 2,
    "directory": "/runs/run_000000000001/2",
    "boot_id": "b",
    "shim": {"pid": 10, "start_time": 100},
    "main": {"pid": 11, "start_time": 101},
    "session_id": 11,
    "cgroup": None,
    "mechanism": "subreaper",
    "spawned_at": "2026-01-31T12:00:00.000000Z",
    "forks": 7,
}


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    files = RunDirectory(tmp_path / "runs" / "run_000000000001" / "2")
    files.prepare()
    return files


def test_prepared(files: RunDirectory) -> None:
    assert files.path.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in files.path.iterdir()}
    assert names == {"stdout.log", "stderr.log", "reports.jsonl"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.path.iterdir())
    assert files.read_process() is None
    assert files.read_exit() is None


def test_prepared_again_loses_nothing(files: RunDirectory) -> None:
    files.stdout.write_text("kept")
    files.prepare()
    assert files.stdout.read_text() == "kept"


def test_what_the_agent_writes(files: RunDirectory) -> None:
    files.write_spec({"argv": ["a"]})
    files.write_control({"pause": True})
    files.write_control({"pause": False})
    files.write_resume({"steps": {}})
    assert json.loads(files.spec.read_text()) == {"argv": ["a"]}
    assert json.loads(files.control.read_text()) == {"pause": False}
    assert json.loads(files.resume.read_text()) == {"steps": {}}


def test_process_record(files: RunDirectory) -> None:
    files.process.write_text(json.dumps(PROCESS))
    record = files.read_process()
    assert record is not None
    assert (record.main.pid, record.main.start_time, record.main.boot_id) == (11, 101, "b")
    assert (record.shim.pid, record.cgroup, record.mechanism) == (10, None, "subreaper")
    with pytest.raises(LaunchError) as caught:
        files.prepare()
    assert caught.value.kind == "already_launched"


def test_exit_record(files: RunDirectory) -> None:
    usage = ResourceUsage(user_seconds=1.5, system_seconds=0.5, max_rss_bytes=4096)
    written = ExitRecord(code=None, signal="SIGKILL", rusage=usage, exited_at="2026-01-31T12:00:00.000000Z")
    files.write_exit(written)
    assert files.read_exit() == written
    files.write_exit(ExitRecord(code=0, signal=None, rusage=None, exited_at=written.exited_at))
    assert str(files.read_exit()) == "exit 0"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"code": 1}', "\x00", '{"main": 3}', "[" * 100_000]
)
def test_a_damaged_file_is_said_to_be_damaged(files: RunDirectory, content: str) -> None:
    files.process.write_text(content)
    files.exit.write_text(content)
    for read in (files.read_process, files.read_exit):
        with pytest.raises(TornFile) as caught:
            read()
        assert caught.value.fields["path"].endswith(".json")


def test_abandoned_once_and_for_all(files: RunDirectory) -> None:
    assert files.abandon("no answer")
    assert files.abandon("once more")
    assert files.read_process() is None
    with pytest.raises(LaunchError):
        files.prepare()


def test_what_has_started_cannot_be_abandoned(files: RunDirectory) -> None:
    files.process.write_text(json.dumps(PROCESS))
    assert not files.abandon("too late")
    assert files.read_process() is not None
