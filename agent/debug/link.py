"""The agent's end of the conversation with a debugged program: lines of the Debug Adapter Protocol over its socket.

Every request has a limit. What the program's debugger says unasked is handed to ``on_event``; ``lost`` is set once the
connection is gone.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 5.0
_LONGEST_LINE = 16 << 20

Body = dict[str, Any]


class DebuggerError(Exception):
    """The debugger refused a request, or did not answer in time; the message says what it said."""


class DebugLink(asyncio.Protocol):
    """One connection."""

    def __init__(self, on_event: Callable[[str, Body], None]) -> None:
        """Made by :meth:`connect`."""
        self.lost = asyncio.Event()
        self._on_event = on_event
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._asked: dict[int, asyncio.Future[Body]] = {}
        self._seq = 0

    @classmethod
    async def connect(cls, path: Path, on_event: Callable[[str, Body], None]) -> "DebugLink | None":
        """Connect to the program's socket; None where nobody listens there."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Through the descriptor, since a socket's path may have 107 bytes only.
                peer.connect(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
        except OSError:
            peer.close()
            return None
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: cls(on_event), sock=peer)
        return link

    async def ask(self, command: str, limit: float = LIMIT_SECONDS, **arguments: Any) -> Body:
        """The body of the answer. Raises :class:`DebuggerError`."""
        if self._transport is None or self.lost.is_set():
            raise DebuggerError("the program's debugger is not there any more")
        self._seq += 1
        seq = self._seq
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._asked[seq] = answer
        request = {"seq": seq, "type": "request", "command": command, "arguments": arguments}
        self._transport.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(limit):
                message = await answer
        except TimeoutError:
            raise DebuggerError(
                f"the program's debugger has not answered {command} within {limit:g} s"
            ) from None
        finally:
            self._asked.pop(seq, None)
        if not message.get("success"):
            raise DebuggerError(str(message.get("message") or f"{command} was refused")[:2_000])
        body = message.get("body")
        return body if isinstance(body, dict) else {}

    def close(self) -> None:
        """Let go; the program's session goes on."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's is one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Asyncio's: something was said."""
        self._received += data
        if len(self._received) > _LONGEST_LINE:
            self.close()
            return
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        for line in lines:
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Asyncio's: gone."""
        self.lost.set()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result({"success": False, "message": "the program's debugger is gone"})

    def _take(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if message.get("type") == "response":
            answer = self._asked.get(message.get("request_seq", -1))
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif message.get("type") == "event":
            self._on_event(str(message.get("event")), message.get("body") or {})
