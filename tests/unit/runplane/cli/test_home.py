import stat
from pathlib import Path

import pytest

from runplane.cli.home import Endpoint, Home, find_home, write_private
from runplane.cli.problem import Problem

ENDPOINT = Endpoint(
    url="http://127.0.0.1:1",
    token="t",
    nats_url="nats://u:p@127.0.0.1:2",
    pids={"nats": 3, "control_plane": 4, "agent": 5},
    up_pid=6,
    up_start_time=7,
    host_id="here",
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(path=tmp_path / "a" / "home")

    home.create()

    assert [mode(path) for path in (home.path, home.nats, home.logs)] == [0o700] * 3


def test_a_home_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Problem, match="file") as caught:
        Home(path=tmp_path / "file" / "home").create()

    assert "--home" in caught.value.hint


def test_the_given_home_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNPLANE_HOME", str(tmp_path / "environment"))

    assert find_home().path == tmp_path / "environment"
    assert find_home(tmp_path / "given").path == tmp_path / "given"


def test_an_endpoint_is_read_as_it_was_written(home: Path) -> None:
    written = Home(path=home)

    written.write_endpoint(ENDPOINT)

    assert written.read_endpoint() == ENDPOINT
    assert mode(written.endpoint_file) == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1, "pids": 3}', "\x00"])
def test_an_endpoint_that_cannot_be_read_is_none(home: Path, content: str) -> None:
    there = Home(path=home)
    there.endpoint_file.write_text(content)

    assert there.read_endpoint() is None


def test_the_token_is_made_once_and_kept_private(home: Path) -> None:
    there = Home(path=home)

    first = there.token()

    assert there.token() == first
    assert len(first) >= 32
    assert mode(there.token_file) == 0o600


def test_a_replaced_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_private(tmp_path / "file", text)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "two"
