"""Old run directories go; young ones and kept ones stay; and no time of day makes one old."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.retention import Retention

DAY = 86_400.0
WEEK = 7 * DAY


class Machine:
    """A place with runs, looked at by agents that come and go; ``uptime`` is set by the test."""

    def __init__(self, place: Path) -> None:
        self.runs = place / "runs"
        self.file = place / "retention.json"
        self.uptime = 1000.0
        self.boot_id = "boot-1"

    def make(self, *names: str) -> None:
        for name in names:
            (self.runs / name / "1").mkdir(parents=True)

    def sweep(self, is_kept: Callable[[str], bool] = lambda _: False) -> list[str]:
        """What is left after a look of an agent that has just been started."""
        retention = Retention(self.runs, self.file, WEEK, boot_id=self.boot_id, uptime=lambda: self.uptime)
        retention.sweep(is_kept)
        return sorted(path.name for path in self.runs.iterdir())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_only_old_directories_of_runs_that_are_over_are_removed(machine: Machine) -> None:
    machine.make("old", "kept")
    assert machine.sweep(lambda name: name == "kept") == ["kept", "old"]
    machine.uptime += 6 * DAY
    machine.make("young")
    assert machine.sweep(lambda name: name == "kept") == ["kept", "old", "young"]
    machine.uptime += DAY
    assert machine.sweep(lambda name: name == "kept") == ["kept", "young"]


def test_age_counts_from_when_a_run_is_kept_no_more(machine: Machine) -> None:
    machine.make("long")
    machine.sweep(lambda _: True)
    machine.uptime += 30 * DAY
    assert machine.sweep() == ["long"]
    machine.uptime += WEEK
    assert machine.sweep() == []


def test_another_start_of_the_machine_goes_on_counting(machine: Machine) -> None:
    machine.make("old")
    machine.sweep()
    machine.uptime += 4 * DAY
    machine.sweep()
    machine.boot_id, machine.uptime = "boot-2", 2 * DAY
    assert machine.sweep() == ["old"]
    machine.uptime += DAY
    assert machine.sweep() == []


@pytest.mark.parametrize("moment", [0.0, 4_000_000_000.0])
def test_no_time_of_day_makes_a_run_old(machine: Machine, moment: float) -> None:
    machine.make("run")
    os.utime(machine.runs / "run" / "1", (moment, moment))
    os.utime(machine.runs / "run", (moment, moment))
    machine.sweep()
    machine.uptime += 6 * DAY
    assert machine.sweep() == ["run"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot_id": 1}', '{"boot_id": "a", "uptime": null}'])
def test_a_file_that_cannot_be_read_begins_the_count_anew(machine: Machine, content: str) -> None:
    machine.make("run")
    machine.sweep()
    machine.uptime += 6 * DAY
    machine.file.write_text(content)
    assert machine.sweep() == ["run"]
    machine.uptime += 6 * DAY
    assert machine.sweep() == ["run"]
    machine.uptime += DAY
    assert machine.sweep() == []


def test_nothing_there_is_nothing_to_do(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    retention = Retention(machine.runs, machine.file, WEEK, boot_id="boot-1")
    assert retention.sweep(lambda _: False) == 0
