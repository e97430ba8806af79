import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from runplane.cli.checks import Finding, Verdict, examine
from runplane.cli.doctor import doctor
from runplane.cli.home import Home


def finding(home: Path, name: str) -> Finding:
    return next(found for found in examine(Home(path=home)) if found.name == name)


def test_everything_that_is_not_well_says_what_to_do(home: Path) -> None:
    for found in examine(Home(path=home)):
        assert found.found
        assert bool(found.advice) == (found.verdict is not Verdict.OK), found


def test_a_home_open_to_others_is_a_warning(home: Path) -> None:
    assert finding(home, "home").verdict is Verdict.OK
    home.chmod(0o755)

    assert finding(home, "home").verdict is Verdict.WARNING
    assert "chmod 700" in finding(home, "home").advice


def test_a_secret_that_others_can_read_is_a_failure(home: Path) -> None:
    Home(path=home).token()
    assert finding(home, "secrets").verdict is Verdict.OK
    (home / "token").chmod(0o644)

    assert finding(home, "secrets").verdict is Verdict.FAILED


def test_a_home_in_the_place_of_a_file_is_a_failure(home: Path) -> None:
    (home / "file").write_text("")

    assert finding(home / "file" / "home", "home").verdict is Verdict.FAILED


def test_the_exit_code_tells_scripts(home: Path) -> None:
    Home(path=home).token()
    (home / "token").chmod(0o644)

    done = CliRunner().invoke(doctor, ["--json", "--home", str(home)], standalone_mode=False)

    assert done.return_value == 1
    assert json.loads(done.output)["ok"] is False


@pytest.mark.parametrize("name", ["python", "broker", "pidfd", "subreaper"])
def test_what_is_essential_is_there_where_the_tests_run(home: Path, name: str) -> None:
    assert finding(home, name).verdict is Verdict.OK
