"""The outer edge of the application: what holds for every request, whatever handles it.

- every answer carries ``Runplane-Seq``, a request id, and the headers that keep browsers from guessing;
- a body is read whole before anything acts on it, within a size and a time;
- an error that nobody foresaw leaves as a problem with the request id, and its traceback goes to the log alone.
"""

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api.metrics import RequestMetrics

log = logging.getLogger("control_plane.api")

MAX_BODY_BYTES = 4 * 2**20
BODY_SECONDS = 30.0
MAX_DRAINED_BYTES = 64 * 2**20
DRAIN_SECONDS = 5.0
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
]


class Boundary:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp, *, position: Callable[[], int], metrics: RequestMetrics) -> None:
        """``position`` is the log position that answers reflect at this moment."""
        self._app = app
        self._position = position
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                headers += [header for header in self._headers(scope, request_id) if header[0] not in present]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request %s: %s %s", request_id, scope["method"], scope["path"])
            if status == 0:
                await _unexpected(send_with_headers, request_id)
        finally:
            self._metrics.observe(scope, status, perf_counter() - started)

    def _headers(self, scope: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
        headers = [
            *_ALWAYS,
            (b"runplane-seq", str(self._position()).encode()),
            (b"runplane-request-id", request_id.encode()),
        ]
        if scope["path"].startswith("/api/"):
            headers.append((b"cache-control", b"no-store"))
        return headers


class BodyLimit:
    """Pure ASGI: reads the body first, so that nothing begins on a request that is too large or never comes whole."""

    def __init__(
        self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS
    ) -> None:
        """At most ``max_bytes``, within ``seconds``."""
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, then hand on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        try:
            if length.isdigit() and int(length) > self._max_bytes:
                raise _TooLargeError
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except _TooLargeError:
            await self._drain(receive)
            detail = f"the body is larger than {self._max_bytes} bytes: put large values in a file and pass its path"
            await _problem(send, 413, code="body_too_large", detail=detail, request_id=_request_id(scope))
            return
        except TimeoutError:
            detail = f"the body did not come within {self._seconds:g} s: send it again"
            await _problem(send, 408, code="body_timeout", detail=detail, request_id=_request_id(scope))
            return
        if body is None:
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None when the client has gone."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise _TooLargeError
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)

    async def _drain(self, receive: Receive) -> None:
        """Take what the client still sends, within limits: it reads no answer before it has sent all."""
        left = MAX_DRAINED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return


class _TooLargeError(Exception):
    pass


def _request_id(scope: Scope) -> str | None:
    value = scope.get("state", {}).get("request_id")
    return str(value) if value is not None else None


async def _unexpected(send: Send, request_id: str) -> None:
    detail = f"something went wrong on our side: the log of the control plane tells more under request {request_id}"
    await _problem(send, 500, code="internal_error", detail=detail, request_id=request_id)


async def _problem(send: Send, status: int, *, code: str, detail: str, request_id: str | None) -> None:
    document = {
        "type": f"urn:runplane:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *([(b"connection", b"close")] if status in (408, 413) else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
