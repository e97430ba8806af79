"""Tells when a file was written to, once an asking, without polling. Used by whoever follows a run's files.

A watch is one-shot: it is armed after the file was read to its end, so that a run which prints without pause costs one
wake-up a read and not one a line.
"""

import asyncio
import contextlib
from pathlib import Path

from asyncinotify import Inotify, Mask


class FileWatcher:
    """One inotify instance for all files of the agent."""

    def __init__(self) -> None:
        """Open; :meth:`run` must be running for anything to be told."""
        self._inotify = Inotify()
        self._waiting: dict[int, asyncio.Event] = {}

    async def run(self) -> None:
        """Hand events to whoever waits for them; for ever."""
        async for event in self._inotify:
            watch = event.watch
            if watch is not None:
                told = self._waiting.pop(watch._wd, None)  # noqa: SLF001 — the descriptor is the watch's identity
                if told is not None:
                    told.set()

    def arm(self, path: Path) -> asyncio.Event:
        """An event that is set by the next write to the file; raises OSError where it cannot be watched."""
        watch = self._inotify.add_watch(path, Mask.MODIFY | Mask.ONESHOT)
        return self._waiting.setdefault(watch._wd, asyncio.Event())  # noqa: SLF001

    def close(self) -> None:
        """Stop watching; everyone waiting is told."""
        for told in self._waiting.values():
            told.set()
        with contextlib.suppress(OSError):
            self._inotify.close()


async def written_or(told: asyncio.Event, finished: asyncio.Event) -> None:
    """Wait until the file was written to or the attempt is finished."""
    waits = [asyncio.create_task(told.wait()), asyncio.create_task(finished.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
