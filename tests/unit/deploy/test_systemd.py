"""The units say what the program understands, and let runs outlive the service."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from runplane.cli.group import runplane

UNITS = sorted((Path(__file__).parents[3] / "deploy" / "systemd").glob("*.service"))


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_there_are_units() -> None:
    assert {unit.name for unit in UNITS} == {"runplane.service", "runplane-agent.service"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_runs_outlive_the_service(unit: Path) -> None:
    said = settings(unit)
    assert (said["KillMode"], said["Delegate"], said["Restart"]) == (["process"], ["yes"], ["always"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_command_and_option_is_there(unit: Path) -> None:
    said = settings(unit)
    for command in said["ExecStart"] + said.get("ExecStartPost", []):
        _, verb, *arguments = shlex.split(command)
        shown = CliRunner().invoke(runplane, [verb, "--help"])
        assert shown.exit_code == 0
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in shown.output
