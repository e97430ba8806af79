import json
import os
from pathlib import Path

import pytest

from runplane.client import find_plane
from runplane.contract.errors import Unavailable


def write_endpoint(home: Path, *, pid: int | None = None, start_time: int = 0) -> None:
    document = {
        "url": "http://127.0.0.1:4711",
        "token": "rp_home",
        "up_pid": pid,
        "up_start_time": start_time,
    }
    (home / "endpoint.json").write_text(json.dumps(document))


def my_start_time() -> int:
    return int(Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19])


def test_without_a_system_it_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(Unavailable, match=f"runplane up --home {home}"):
        find_plane()


def test_the_endpoint_of_the_home_is_taken(home: Path) -> None:
    write_endpoint(home, pid=os.getpid(), start_time=my_start_time())
    place = find_plane()
    assert (place.url, place.token, place.is_supervised) == ("http://127.0.0.1:4711", "rp_home", True)
    assert "rp_home" not in repr(place)


def test_a_left_over_endpoint_is_not_supervised(home: Path) -> None:
    write_endpoint(home, pid=os.getpid(), start_time=my_start_time() - 1)
    assert not find_plane().is_supervised


def test_the_environment_wins_over_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_endpoint(home)
    monkeypatch.setenv("RUNPLANE_URL", "https://plane.example/")
    monkeypatch.setenv("RUNPLANE_TOKEN", "rp_mine")
    place = find_plane()
    assert (place.url, place.token) == ("https://plane.example", "rp_mine")


def test_the_token_of_the_home_goes_to_no_other_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_endpoint(home)
    monkeypatch.setenv("RUNPLANE_URL", "https://plane.example")
    assert find_plane().token == ""
    monkeypatch.setenv("RUNPLANE_URL", "http://127.0.0.1:4711/")
    assert find_plane().token == "rp_home"


def test_a_given_home_wins_over_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_endpoint(home)
    other = tmp_path / "other"
    other.mkdir()
    (other / "endpoint.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "token": "rp_other"}))
    monkeypatch.setenv("RUNPLANE_URL", "https://plane.example")
    assert find_plane(other).url == "http://127.0.0.1:1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "x"}'])
def test_a_broken_endpoint_is_none(home: Path, text: str) -> None:
    (home / "endpoint.json").write_text(text)
    with pytest.raises(Unavailable):
        find_plane()
