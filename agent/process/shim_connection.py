"""The shim's end of a conversation with an agent: JSON lines, nothing waited for, nothing kept without a bound.

Standard library alone.
"""

import json
import socket
from typing import Any

RECEIVE_BYTES = 64 << 10
SEND_BYTES = 1 << 20


class Connection:
    """One agent at the other end. What cannot be sent is kept up to a bound; past it the connection is dropped."""

    def __init__(self, peer: socket.socket) -> None:
        """Take the socket over; it must not block."""
        peer.setblocking(False)
        self.peer = peer
        self.received = bytearray()
        self.unsent = bytearray()

    def send(self, message: dict[str, Any]) -> bool:
        """Send or keep; False when the connection is of no more use."""
        self.unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        return self.flush() and len(self.unsent) <= SEND_BYTES

    def flush(self) -> bool:
        """Send what is kept, as far as it goes without waiting."""
        try:
            while self.unsent:
                del self.unsent[: self.peer.send(self.unsent)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def is_open(self) -> bool:
        """Whether the other end is still there; nothing is taken from what it sent."""
        try:
            return self.peer.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def receive(self) -> list[Any] | None:
        """The whole requests that came; ``None`` when the other end is gone or talks nonsense."""
        try:
            chunk = self.peer.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self.received += chunk
        *lines, rest = self.received.split(b"\n")
        self.received = rest
        if not chunk or len(rest) > RECEIVE_BYTES:
            return None
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            return None
