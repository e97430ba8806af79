import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runplane.cli.ports import pick_free
from runplane.cli.readiness import (
    ask_until,
    broker_accepts,
    look_for_host,
    plane_is_ready,
    storage_fault,
)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server on loopback that gives one answer to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, False), (503, False), (401, False)])
def test_ready_is_what_says_200(status: int, ready: bool) -> None:
    with answering(status, b"") as url:
        assert plane_is_ready(url) is ready


def test_nobody_there_is_not_ready() -> None:
    port = pick_free()

    assert not broker_accepts(port)
    assert not plane_is_ready(f"http://127.0.0.1:{port}")
    assert not plane_is_ready("file:///etc/passwd")
    assert not plane_is_ready("nonsense")


@pytest.mark.parametrize(
    ("status", "is_there"), [("online", True), ("draining", True), ("absent", False), (None, False)]
)
def test_a_host_is_there_when_the_control_plane_hears_from_it(status: str | None, is_there: bool) -> None:
    items = [
        {"host_id": "other", "agent_id": "b", "status": "online"},
        {"host_id": "me", "agent_id": "a", "status": status},
    ]
    with answering(200, json.dumps({"items": items}).encode()) as url:
        found = look_for_host(url, "token", "me")

    assert found == ("a", is_there)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"items": []}', b"<html>"])
def test_a_host_that_never_joined_has_no_agent(body: bytes) -> None:
    with answering(200, body) as url:
        assert look_for_host(url, "token", "me") == ("", False)


def test_asking_has_a_limit() -> None:
    asked: list[bool] = []

    def not_yet() -> bool:
        asked.append(True)
        return False

    assert not ask_until(not_yet, 0.2)
    assert 2 <= len(asked) <= 10
    assert ask_until(lambda: True, 0)


@pytest.mark.parametrize(
    ("figures", "fault"), [({"stores": False}, "it is full"), ({"stores": True}, None), ({}, None)]
)
def test_what_keeps_the_broker_from_storing_is_read_from_a_failed_health(
    figures: dict[str, bool], fault: str | None
) -> None:
    checks = [{"name": "disk", "figures": {}}, {"name": "broker", "detail": "it is full", "figures": figures}]
    with answering(503, json.dumps({"checks": checks}).encode()) as url:
        assert storage_fault(url, "token") == fault
    with answering(500, b"no JSON") as url:
        assert storage_fault(url, "token") is None
