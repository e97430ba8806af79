import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mcp_server.serving import loopback_address
from tests.running_system import REPOSITORY

LIMIT = 20.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@contextmanager
def running(*options: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"RUNPLANE_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server.main", *options],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


def until_served(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            client.get("/mcp")
            return
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_socket_is_its_owners_alone_and_wants_a_token(home: Path) -> None:
    path = home / "mcp.sock"
    with running("--listen-unix", str(path), home=home) as process:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://control-plane"
        ) as client:
            until_served(client, process)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            refused = client.post("/mcp", json=INITIALIZE, headers=HEADERS)
            assert refused.status_code == 401
            assert refused.json()["code"] == "not_authenticated"
            assert refused.headers["www-authenticate"] == "Bearer"
            for given in ({"Authorization": "Bearer t"}, {"X-API-Key": "t"}):
                answered = client.post("/mcp", json=INITIALIZE, headers=HEADERS | given)
                assert answered.status_code == 200
                assert "automagik-workflows" in answered.text
                assert "mcp-session-id" not in answered.headers
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
        assert output == ""
        assert process.returncode == 0
    assert not path.exists()


def test_a_socket_left_behind_is_taken_over_and_a_live_one_is_not(home: Path) -> None:
    path = home / "mcp.sock"
    with running("--listen-unix", str(path), home=home) as process:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            until_served(client, process)
        with running("--listen-unix", str(path), home=home) as second:
            _, said = second.communicate(timeout=LIMIT)
            assert second.returncode == 1
            assert "already listens" in said
        process.kill()
        process.wait(LIMIT)
    assert path.exists()
    with (
        running("--listen-unix", str(path), home=home) as process,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client,
    ):
        until_served(client, process)


def test_loopback_http_refuses_foreign_hosts_and_origins(home: Path, free_port: int) -> None:
    with (
        running("--http", f"127.0.0.1:{free_port}", home=home) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{free_port}") as client,
    ):
        until_served(client, process)
        token = {"Authorization": "Bearer t"}
        assert client.post("/mcp", json=INITIALIZE, headers=HEADERS | token).status_code == 200
        foreign_host = client.post(
            "/mcp", json=INITIALIZE, headers=HEADERS | token | {"Host": "evil.example"}
        )
        assert foreign_host.status_code == 421
        foreign_origin = client.post(
            "/mcp", json=INITIALIZE, headers=HEADERS | token | {"Origin": "http://evil.example"}
        )
        assert foreign_origin.status_code == 403


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:28882", ("127.0.0.1", 28882)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_a_loopback_address(text: str, address: tuple[str, int]) -> None:
    assert loopback_address(text) == address


@pytest.mark.parametrize(
    "text", ["0.0.0.0:80", "example.org:80", "127.0.0.1", "127.0.0.1:70000", ":80", "[::]:80"]
)
def test_nothing_but_loopback_is_served(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("127.0.0.1:28882")):
        loopback_address(text)


def test_stdout_is_the_protocols_alone_and_the_end_of_stdin_is_the_end(home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mcp_server.main"],
        env=os.environ
        | {"RUNPLANE_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "RUNPLANE_LOG_LEVEL": "DEBUG"},
        input=f"not json\n{json.dumps(INITIALIZE)}\n",
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert all(answer["jsonrpc"] == "2.0" for answer in answers)
    assert answers[-1]["result"]["serverInfo"]["name"] == "automagik-workflows"
    assert ended.stderr
