import socket
from pathlib import Path

from runplane.cli.ports import is_free, pick_free


def test_a_picked_port_is_free_and_never_given_to_a_client() -> None:
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    for _ in range(20):
        port = pick_free()
        assert is_free(port)
        assert port < first_ephemeral


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])
