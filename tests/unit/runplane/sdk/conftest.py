from pathlib import Path

import pytest

from tests.run_directory import RunDirectory


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """This process is in a run, in a fresh run directory."""
    directory = RunDirectory(tmp_path / "run")
    monkeypatch.setenv("RUNPLANE_SDK_PROCESS", "")
    for name, value in directory.environment().items():
        if name.startswith("RUNPLANE_"):
            monkeypatch.setenv(name, value)
    return directory


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is in no run."""
    monkeypatch.delenv("RUNPLANE_DIR", raising=False)
