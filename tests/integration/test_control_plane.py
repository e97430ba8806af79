import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from runplane.cli.ports import LOOPBACK, pick_free
from tests.broker_process import BrokerProcess
from tests.running_system import REPOSITORY

LIMIT = 45.0
TOKEN = "rp_" + "t" * 40


class ControlPlane:
    """`python -m control_plane.main` as a process of its own."""

    def __init__(self, broker: BrokerProcess, home: Path, **environment: str) -> None:
        home.mkdir(exist_ok=True)
        (home / "token").write_text(TOKEN)
        (home / "token").chmod(0o600)
        self.port = pick_free()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        own = {
            "RUNPLANE_HOME": str(home),
            "RUNPLANE_NATS_URL": broker.url,
            "RUNPLANE_NATS_SYS_URL": broker.sys_url,
            "RUNPLANE_PORT": str(self.port),
            "PYTHONPATH": str(REPOSITORY),
        }
        self.output = home / "output"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_plane.main"],
                env=kept | own | environment,
                stdout=output,
                stderr=output,
            )

    def open(self, path: str) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.port}{path}", headers=headers)
        response: HTTPResponse = urllib.request.urlopen(request, timeout=10)
        return response

    def get(self, path: str) -> Any:
        with self.open(path) as response:
            return json.load(response)

    def until_ready(self) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                self.get("/readyz")
            except OSError:
                assert self.process.poll() is None, self.said()
                assert time.monotonic() < deadline, self.said()
                time.sleep(0.05)
            else:
                return

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def ended(self) -> int:
        return self.process.wait(LIMIT)


@pytest.fixture
def planes() -> Iterator[list[ControlPlane]]:
    started: list[ControlPlane] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_workflow_files_are_registered_bad_ones_named_and_streams_closed_at_the_end(
    nats_server: BrokerProcess, tmp_path: Path, planes: list[ControlPlane]
) -> None:
    flows = tmp_path / "flows"
    (flows / "felipe").mkdir(parents=True)
    (flows / "felipe" / "workflow.yaml").write_text("name: felipe\ncommand: [felipe]\nworkspace: temporary\n")
    (flows / "lina.yaml").write_text("name: lina\ncommand: [python, lina.py]\n")
    (flows / "bad.yaml").write_text("name: bad\ncommand: [x]\ntimeout: soon\n")
    for _ in range(2):
        one = ControlPlane(nats_server, tmp_path / "home", RUNPLANE_WORKFLOWS=str(flows))
        planes.append(one)
        one.until_ready()
        workflows = {item["name"]: item for item in one.get("/api/v1/workflows")["items"]}
        assert {name: item["version"] for name, item in workflows.items()} == {"felipe": 1, "lina": 1}

        with one.open("/api/v1/stream") as stream:
            assert stream.status == 200
            told = time.monotonic()
            one.process.send_signal(signal.SIGTERM)
            assert one.ended() == 0, one.said()
            assert time.monotonic() - told < 15
    said = planes[0].said()
    assert "timeout='soon'" in said
    assert said.count("at version 1 now") == 2
    assert "Traceback" not in said


def test_it_goes_on_when_the_broker_was_away(
    nats_server: BrokerProcess, tmp_path: Path, planes: list[ControlPlane]
) -> None:
    nats_server.stop()
    one = ControlPlane(nats_server, tmp_path / "home")
    planes.append(one)
    deadline = time.monotonic() + LIMIT
    while "waiting up to" not in one.said():
        assert one.process.poll() is None, one.said()
        assert time.monotonic() < deadline, one.said()
        time.sleep(0.02)
    nats_server.start()
    one.until_ready()
    nats_server.restart()
    one.until_ready()


def test_a_broker_that_does_not_sync_is_refused_unless_that_is_allowed(
    nats_server: BrokerProcess, tmp_path: Path, planes: list[ControlPlane]
) -> None:
    nats_server.stop()
    config = nats_server.config.config_file
    config.write_text(config.read_text().replace("sync_interval: always", "sync_interval: 10s"))
    nats_server.start()

    refused = ControlPlane(nats_server, tmp_path / "refused")
    planes.append(refused)
    assert refused.ended() == 1
    assert "RUNPLANE_ALLOW_UNSYNCED=1" in refused.said()

    allowed = ControlPlane(nats_server, tmp_path / "allowed", RUNPLANE_ALLOW_UNSYNCED="1")
    planes.append(allowed)
    allowed.until_ready()
    assert "a power cut can lose" in allowed.said()


def test_a_port_that_is_taken_is_named(
    nats_server: BrokerProcess, tmp_path: Path, planes: list[ControlPlane]
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        one = ControlPlane(nats_server, tmp_path / "home", RUNPLANE_PORT=str(port))
        planes.append(one)
        assert one.ended() == 1
        assert f"port {port} cannot be taken" in one.said()
        assert "Traceback" not in one.said()
