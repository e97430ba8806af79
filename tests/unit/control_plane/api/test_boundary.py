import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from control_plane.api.boundary import BodyLimit, Boundary
from control_plane.api.metrics import RequestMetrics

pytestmark = pytest.mark.anyio


@dataclass
class Client:
    """Sends these chunks and then is silent; keeps what is answered."""

    chunks: list[bytes] = field(default_factory=lambda: [b""])
    leaves: bool = False
    messages: list[Any] = field(default_factory=list)

    async def receive(self) -> Any:
        if self.chunks:
            chunk = self.chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks) or self.leaves}
        if self.leaves:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def problem(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.messages[1:]))


def scope(**fields: Any) -> Any:
    return {"type": "http", "method": "POST", "path": "/api/v1/runs", "headers": [], **fields}


async def echo(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def test_a_body_in_pieces_is_handed_on_whole() -> None:
    client = Client(chunks=[b"a", b"b", b"c"])
    await BodyLimit(echo, max_bytes=3)(scope(), client.receive, client.send)
    assert client.messages[1]["body"] == b"abc"


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]])
async def test_a_body_that_is_too_large_is_never_handed_on(headers: list[tuple[bytes, bytes]]) -> None:
    client = Client(chunks=[b"aa", b"bb"])
    await BodyLimit(echo, max_bytes=3)(scope(headers=headers), client.receive, client.send)
    assert (client.status, client.problem["code"]) == (413, "body_too_large")
    assert client.headers["connection"] == "close"
    assert client.chunks == []


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    client = Client(chunks=[])
    await BodyLimit(echo, seconds=0.01)(scope(), client.receive, client.send)
    assert (client.status, client.problem["code"]) == (408, "body_timeout")


async def test_a_client_that_left_is_not_answered() -> None:
    client = Client(chunks=[b"a"], leaves=True)
    await BodyLimit(echo)(scope(), client.receive, client.send)
    assert client.messages == []


async def test_every_answer_tells_position_and_request() -> None:
    client = Client()
    metrics = RequestMetrics()
    await Boundary(echo, position=lambda: 42, metrics=metrics)(scope(), client.receive, client.send)
    assert client.headers["runplane-seq"] == "42"
    assert client.headers["runplane-request-id"]
    assert client.headers["cache-control"] == "no-store"
    assert client.headers["x-content-type-options"] == "nosniff"
    assert b'runplane_http_requests_total{method="POST",route="none",status="200"} 1.0' in metrics.render()


async def test_what_nobody_foresaw_leaves_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        raise ZeroDivisionError("the secret of the house")

    client = Client()
    await Boundary(broken, position=lambda: 1, metrics=RequestMetrics())(scope(), client.receive, client.send)
    assert (client.status, client.problem["code"]) == (500, "internal_error")
    assert "secret" not in json.dumps(client.problem)
    assert client.problem["request_id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text
