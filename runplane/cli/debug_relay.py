"""Lets an editor on this machine talk to the debugger of a run: its Debug Adapter Protocol, over loopback.

The run's own door is a socket that only its user can reach; editors connect over TCP. So the relay takes connections
for as long as it runs, on loopback, from programs of the same user alone: the kernel says whose a connection is.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

LIMIT_BYTES = 16 << 20
_TCP = Path("/proc/net/tcp")


@asynccontextmanager
async def relay(door: Path, port: int) -> AsyncIterator[int]:
    """Serve the debugger behind ``door`` (a socket in the run directory); the port that is served."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _is_ours(writer.get_extra_info("peername")[1]):
                await _converse(door, reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one of the two has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=LIMIT_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _converse(door: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    directory = os.open(door.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Through the descriptor, since a socket's path may have 107 bytes only.
        path = f"/proc/self/fd/{directory}/{door.name}"
        from_program, to_program = await asyncio.open_unix_connection(path, limit=LIMIT_BYTES)
    finally:
        os.close(directory)
    tasks = [
        asyncio.create_task(_to_lines(reader, to_program)),
        asyncio.create_task(_to_frames(from_program, writer)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        to_program.close()


async def _to_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """From an editor: a head that tells the length, then the message. In JSON, newlines mean nothing."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.strip().split(b"\r\n"))
        length = int(fields[b"content-length"])
        if not 0 < length <= LIMIT_BYTES:
            raise ValueError(f"a message of {length} bytes")
        body = await reader.readexactly(length)
        writer.write(body.replace(b"\n", b" ") + b"\n")
        await writer.drain()


async def _to_frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := (await reader.readline()).rstrip(b"\n"):
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(line), line))
        await writer.drain()


def _is_ours(port: int) -> bool:
    """Whether the other end of a loopback connection, at this port, belongs to a program of our user."""
    with suppress(OSError, IndexError, ValueError):
        for line in _TCP.read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                return int(fields[7]) == os.geteuid()
    return False
