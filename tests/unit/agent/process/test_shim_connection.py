import json
import socket
from collections.abc import Iterator

import pytest

from agent.process.shim_connection import RECEIVE_BYTES, SEND_BYTES, Connection


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    shim, agent = socket.socketpair()
    with shim, agent:
        yield Connection(shim), agent


def test_whole_requests_only(ends: tuple[Connection, socket.socket]) -> None:
    connection, agent = ends
    assert connection.receive() == []
    agent.send(b'{"id": 1}\n{"id"')
    assert connection.receive() == [{"id": 1}]
    agent.send(b": 2}\n")
    assert connection.receive() == [{"id": 2}]
    agent.close()
    assert connection.receive() is None


@pytest.mark.parametrize("nonsense", [b"{\n", b"[" * 60_000 + b"\n", b"\xff\n"])
def test_nonsense(ends: tuple[Connection, socket.socket], nonsense: bytes) -> None:
    connection, agent = ends
    agent.send(nonsense)
    assert connection.receive() is None


def test_a_line_without_an_end(ends: tuple[Connection, socket.socket]) -> None:
    connection, agent = ends
    answers = []
    for _ in range(RECEIVE_BYTES // 1000 + 2):
        agent.send(b"x" * 1000)
        answers.append(connection.receive())
    assert answers[0] == []
    assert answers[-1] is None


def test_an_agent_that_does_not_listen_is_given_up(ends: tuple[Connection, socket.socket]) -> None:
    connection, agent = ends
    sent = 0
    while connection.send({"event": "x" * 10_000}):
        sent += 1
        assert len(connection.unsent) <= SEND_BYTES
        assert sent < 1000
    agent.settimeout(1)
    assert json.loads(agent.makefile("rb").readline())["event"].startswith("x")
