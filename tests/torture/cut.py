"""A line to the broker that a test can cut and mend, for one program alone."""

import asyncio
import contextlib
from urllib.parse import urlsplit

from runplane.cli.ports import LOOPBACK


class Line:
    """``url`` leads to the same broker, over this line."""

    def __init__(self, broker_url: str) -> None:
        self._to = urlsplit(broker_url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        credentials = self._to.netloc.rpartition("@")[0]
        return f"nats://{credentials}@{LOOPBACK}:{self._port}"

    async def mend(self) -> None:
        """Let the program through, from now on."""
        self._server = await asyncio.start_server(self._connect, LOOPBACK, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection, and take none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.close()
        self._open.clear()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_carry(source, target))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await source.read(1 << 16):
            target.write(content)
            await target.drain()
    target.close()
