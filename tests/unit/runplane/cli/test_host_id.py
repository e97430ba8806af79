from pathlib import Path

import pytest

from runplane.cli.home import Home
from runplane.cli.host_id import choose_host_id, host_id_after
from runplane.cli.problem import Exit, Problem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-1.example.org", "web-1"),
        ("Tom's Laptop", "tom-s-laptop"),
        ("---", "localhost"),
        ("a" * 80, "a" * 63),
        ("", "localhost"),
    ],
)
def test_a_machine_name_becomes_a_host_id(name: str, expected: str) -> None:
    assert host_id_after(name) == expected


def test_the_id_is_kept_until_another_is_asked_for(home: Path) -> None:
    there = Home(path=home)

    assert choose_host_id(there, "first") == "first"
    assert choose_host_id(there) == "first"
    assert choose_host_id(there, "second") == "second"
    assert choose_host_id(there) == "second"


@pytest.mark.parametrize("asked", ["Upper", "-a", "a-", "a" * 64, "a.b", "a b", "a\n"])
def test_what_is_no_host_id_is_refused(home: Path, asked: str) -> None:
    with pytest.raises(Problem) as caught:
        choose_host_id(Home(path=home), asked)

    assert caught.value.exit_code is Exit.USAGE
