import socket
from pathlib import Path

import pytest

from runplane.cli.broker import OLDEST, configure, find_binary, version_of
from runplane.cli.home import Home
from runplane.cli.problem import Problem


def test_the_program_of_the_wheel_is_new_enough() -> None:
    assert version_of(find_binary()) >= OLDEST


def test_port_and_credentials_are_kept(home: Path) -> None:
    first = configure(Home(path=home), server_name="a")
    second = configure(Home(path=home), server_name="a")

    assert (second.url, second.sys_url) == (first.url, first.sys_url)


def test_another_port_is_chosen_when_somebody_took_it(home: Path) -> None:
    first = configure(Home(path=home), server_name="a")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()

        second = configure(Home(path=home), server_name="a")

    assert second.port != first.port
    assert str(second.port) in second.config_file.read_text()
    assert configure(Home(path=home), server_name="a").port == second.port


def test_the_two_accounts_have_different_passwords(home: Path) -> None:
    broker = configure(Home(path=home), server_name="a")

    assert broker.url.split("@")[0].split(":")[2] != broker.sys_url.split("@")[0].split(":")[2]
    assert not any("nats://" in word for word in broker.argv)


def test_broken_credentials_are_named_with_what_to_do(home: Path) -> None:
    configure(Home(path=home), server_name="a")
    (home / "nats" / "credentials.json").write_text("{")

    with pytest.raises(Problem, match=r"credentials\.json") as caught:
        configure(Home(path=home), server_name="a")

    assert caught.value.hint.endswith("credentials.json`")
