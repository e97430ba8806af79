"""The output shipper: brings what an attempt prints to the broker, byte for byte, without a hole.

The file is the truth while the attempt lives; the broker's last message on the stream's subject says where to go on, so
nothing is kept here. A chunk's message id is its place (run, attempt, stream, offset), so sending it twice changes
nothing. Chunks: at most 64 KiB, headers ``Rp-Offset`` (bytes before it) and ``Rp-Time``. When the attempt has ended and
all is sent, an empty message with ``Rp-End: 1`` says so.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from agent import failpoint
from agent.file_watcher import FileWatcher, written_or
from runplane.bus import Bus
from runplane.contract.errors import BrokerRefused, Unavailable
from runplane.contract.subjects import OUTPUT_STREAM, output
from runplane.stamp import now

log = logging.getLogger("agent.output")

CHUNK_BYTES = 64 * 2**10
_GATHER_SECONDS = 0.03
_LONGEST_PAUSE_SECONDS = 5.0
STREAMS = ("stdout", "stderr")


class OutputShipper:
    """Ships the streams of attempts, one task a stream."""

    def __init__(self, bus: Bus, watcher: FileWatcher, host: str) -> None:
        """Nothing is read before :meth:`ship`."""
        self._bus = bus
        self._watcher = watcher
        self._host = host

    async def ship(
        self,
        run_id: str,
        attempt: int,
        directory: Path,
        finished: asyncio.Event,
        *,
        recovered: bool,
        grown: Callable[[str, int], None],
    ) -> None:
        """Ship both streams until ``finished`` is set and all is sent; ``grown(stream, bytes)`` tells of their size."""
        async with asyncio.TaskGroup() as streams:
            for stream in STREAMS:
                subject = output(self._host, run_id, attempt, stream)
                path = directory / f"{stream}.log"
                told = partial(grown, stream)
                streams.create_task(
                    self._ship_stream(subject, path, finished, recovered=recovered, grown=told)
                )

    async def _ship_stream(
        self,
        subject: str,
        path: Path,
        finished: asyncio.Event,
        *,
        recovered: bool,
        grown: Callable[[int], None],
    ) -> None:
        offset, ended = await self._sent_so_far(subject) if recovered else (0, False)
        if ended:
            return
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error.strerror)
            return
        try:
            async for chunk in self._chunks(fd, path, offset, finished):
                grown(os.fstat(fd).st_size)
                await self._send(subject, chunk, offset)
                offset += len(chunk)
            await self._send(subject, b"", offset, end=True)
        finally:
            os.close(fd)

    async def _chunks(
        self, fd: int, path: Path, offset: int, finished: asyncio.Event
    ) -> AsyncIterator[bytes]:
        """What the file holds from ``offset`` on, as it grows; ends when it was read to its end after ``finished``."""
        while True:
            last_look = finished.is_set()
            told = None if last_look else self._watcher.arm(path)
            chunk = os.pread(fd, CHUNK_BYTES, offset)
            if chunk:
                offset += len(chunk)
                yield chunk
            elif told is None:
                return
            else:
                await written_or(told, finished)
                if not finished.is_set():
                    await asyncio.sleep(_GATHER_SECONDS)

    async def _sent_so_far(self, subject: str) -> tuple[int, bool]:
        pause = 0.05
        while True:
            try:
                last = await self._bus.last_message(OUTPUT_STREAM, subject)
            except Exception as error:  # noqa: BLE001 — whatever keeps the broker from answering, it is asked again
                log.warning("%s: the broker cannot be asked yet (%s)", subject, type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            if last is None:
                return 0, False
            return int(last.headers.get("Rp-Offset", "0")) + len(last.payload), "Rp-End" in last.headers

    async def _send(self, subject: str, chunk: bytes, offset: int, *, end: bool = False) -> None:
        headers = {"Rp-Offset": str(offset), "Rp-Time": now().isoformat(), **({"Rp-End": "1"} if end else {})}
        message_id = f"{subject}:{offset}:{'end' if end else len(chunk)}"
        pause = 0.05
        while True:
            failpoint.passing("ship.before")
            try:
                await self._bus.publish_bytes(subject, chunk, message_id=message_id, headers=headers)
            except BrokerRefused as error:
                log.warning("the broker refused %d bytes of %s for good: %s", len(chunk), subject, error)
                return
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                failpoint.passing("ship.after")
                return
