import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from runplane.cli.checks import examine
from runplane.cli.doctor import doctor
from runplane.cli.findings import Finding, Verdict, findings_of, show
from runplane.cli.home import Endpoint, Home
from runplane.cli.plane_checks import ask_plane


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


def test_the_checks_of_a_control_plane_are_told_with_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    health = {
        "checks": [
            {
                "name": "hosts",
                "status": "degraded",
                "detail": "not heard from: h1\x1b[2J",
                "todo": "start its agent",
            },
            {"name": "broker", "status": "failed", "detail": "not reached", "todo": "is it running?"},
            {"name": "disk", "status": "ok", "detail": "room"},
            "nonsense",
        ]
    }
    found = findings_of(health, prefix="plane: ")
    assert [(one.name, one.verdict) for one in found] == [
        ("plane: hosts", Verdict.WARNING), ("plane: broker", Verdict.FAILED), ("plane: disk", Verdict.OK),
    ]  # fmt: skip
    show(found)
    shown = capsys.readouterr().out
    assert "start its agent" in shown
    assert "\x1b" not in shown
    assert ask_plane(Home(path=home)) == []


def test_a_control_plane_that_does_not_answer_is_a_warning(home: Path, free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"
    Home(path=home).write_endpoint(
        Endpoint(url=url, token="t", nats_url="", pids={}, up_pid=1, up_start_time=1, host_id="")
    )
    (found,) = ask_plane(Home(path=home))
    assert (found.verdict, url in found.found, "runplane up" in found.advice) == (Verdict.WARNING, True, True)
