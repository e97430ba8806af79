"""How the request for a launch travels: from the agent, through the zygote's socket, to whoever starts the attempt.

A message is ``title NUL directory`` with one descriptor: the socket over which the spec comes and the answer goes. On
a SEQPACKET socket a message is taken whole by one of those who wait for it. Standard library alone.
"""

import os
import socket
import struct
from typing import NamedTuple

MESSAGE_BYTES = 8192
_DESCRIPTOR = struct.Struct("i")


class Request(NamedTuple):
    """``title``: what ``ps`` is to show. ``directory``: the run directory. ``channel``: the agent's socket."""

    title: bytes
    directory: bytes
    channel: socket.socket


def message_of(title: str, directory: str | os.PathLike[str]) -> bytes:
    """The message, without its descriptor."""
    return os.fsencode(title) + b"\0" + os.fsencode(directory)


def rights_of(channel: socket.socket) -> list[tuple[int, int, bytes]]:
    """The descriptor, as ``sendmsg`` wants it."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(channel.fileno()))]


def take(requests: socket.socket) -> Request | None:
    """Wait for the next request and take it; ``None`` when there will be no more."""
    try:
        message, ancillary, _, _ = requests.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(_DESCRIPTOR.size), socket.MSG_CMSG_CLOEXEC
        )
    except OSError:
        return None
    if not message or not ancillary:
        return None
    title, _, directory = message.partition(b"\0")
    (descriptor,) = _DESCRIPTOR.unpack(ancillary[0][2])
    return Request(title, directory, socket.socket(fileno=descriptor))


def pass_on(request: Request, to: socket.socket) -> None:
    """Hand the request to another process as well; both hold the channel then."""
    to.sendmsg([request.title + b"\0" + request.directory], rights_of(request.channel))
