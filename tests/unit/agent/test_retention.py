"""Old run directories go; young ones and kept ones stay."""

import os
import time
from pathlib import Path

from agent.retention import sweep

DAY = 86_400.0


def make(runs: Path, name: str, age: float) -> Path:
    attempt = runs / name / "1"
    attempt.mkdir(parents=True)
    (attempt / "exit.json").write_text("{}")
    moment = time.time() - age
    for entry in (attempt / "exit.json", attempt):
        os.utime(entry, (moment, moment))
    return runs / name


def test_only_old_directories_of_runs_that_are_over_are_removed(tmp_path: Path) -> None:
    old, young, kept = (
        make(tmp_path, name, age) for name, age in (("old", 9 * DAY), ("young", DAY), ("kept", 9 * DAY))
    )
    assert sweep(tmp_path, time.time() - 7 * DAY, lambda name: name == "kept") == 1
    assert [path.exists() for path in (old, young, kept)] == [False, True, True]


def test_nothing_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent", time.time(), lambda _: False) == 0
