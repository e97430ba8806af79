"""The agent's end of the conversation with a shim: JSON lines over a unix socket.

Every request has a limit; a lost connection answers ``None`` to all that wait. What the shim says unasked is kept in
order until somebody listens.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINE_BYTES = 4 << 20
Message = dict[str, Any]


def _deaf(_: Message) -> None:
    """Nobody listens."""


class ShimLink(asyncio.Protocol):
    """One connection. ``launched`` gets the shim's first word about the launch, ``None`` when it ended without one."""

    def __init__(self) -> None:
        """Made by ``over`` or ``connect``."""
        loop = asyncio.get_running_loop()
        self.launched: asyncio.Future[Message | None] = loop.create_future()
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._asked: dict[int, asyncio.Future[Message | None]] = {}
        self._last_id = 0
        self._unheard: list[Message] = []
        self._listener: Callable[[Message], None] | None = None

    @classmethod
    async def over(cls, connected: socket.socket) -> "ShimLink":
        """Speak over a socket that is connected already."""
        connected.setblocking(False)
        _, link = await asyncio.get_running_loop().create_unix_connection(cls, sock=connected)
        return link

    @classmethod
    async def connect(cls, socket_path: Path, shim_pid: int) -> "ShimLink | None":
        """Connect to the shim's own socket; ``None`` when it does not listen there, or somebody else does."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            directory = os.open(socket_path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Through the descriptor, since a socket's path may have 107 bytes only.
                peer.connect(f"/proc/self/fd/{directory}/{socket_path.name}")
            finally:
                os.close(directory)
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(credentials[:4], "little") != shim_pid:
                peer.close()
                return None
            return await cls.over(peer)
        except OSError:
            peer.close()
            return None

    def send(self, message: Message) -> None:
        """Send one message; lost when the connection is."""
        self.send_raw(json.dumps(message).encode() + b"\n")

    def send_raw(self, line: bytes) -> None:
        """Send a line that is encoded already."""
        if self._transport is not None and not self.lost:
            self._transport.write(line)

    async def ask(self, request: str, limit: float) -> Message | None:
        """The shim's answer; ``None`` after ``limit`` seconds or when the connection is lost."""
        if self.lost:
            return None
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.send({"id": number, "ask": request})
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._asked.pop(number, None)

    def listen(self, listener: Callable[[Message], None]) -> None:
        """Hand over what the shim says unasked, what it has said before first."""
        self._listener = listener
        unheard, self._unheard = self._unheard, []
        for message in unheard:
            listener(message)

    def close(self) -> None:
        """End the conversation; the shim goes on, and nobody is told any more."""
        self._listener = _deaf
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        for line in lines:
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        if len(rest) > LINE_BYTES:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        del exc
        self.lost = True
        for waiting in (*self._asked.values(), self.launched):
            if not waiting.done():
                waiting.set_result(None)
        self._say({"event": "lost"})

    def _take(self, message: Message) -> None:
        waiting = self._asked.get(message.get("id", 0))
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(message)
            return
        if not self.launched.done():
            self.launched.set_result(message)
        if "event" in message:
            self._say(message)

    def _say(self, message: Message) -> None:
        if self._listener is None:
            self._unheard.append(message)
        else:
            self._listener(message)
