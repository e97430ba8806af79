"""When a process ran its first instruction: the moment a byte came out of a FIFO that nobody else writes to.

A thread sits in a blocking read, so the reading costs the same whoever started the process, and nothing is polled.
"""

import os
import queue
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_SECONDS = 20.0
_END = b"e"
_SWITCH_SECONDS = 50e-6
"""How soon the reading thread gets the interpreter when a request is being handled at that moment."""


class Announcements:
    """The bytes of one FIFO, each with its moment on CLOCK_MONOTONIC in nanoseconds."""

    def __init__(self, fifo: Path) -> None:
        """Make the FIFO and begin to read."""
        os.mkfifo(fifo)
        # Open for both, so that neither the reading nor the last writer's end ever closes it.
        self._descriptor = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
        self._moments: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True, name=f"reads {fifo.name}")
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._descriptor, _END)
        self._thread.join(LIMIT_SECONDS)
        os.close(self._descriptor)

    def next(self) -> int:
        """The moment of the next byte; ``queue.Empty`` when none came within :data:`LIMIT_SECONDS`."""
        return self._moments.get(timeout=LIMIT_SECONDS)

    def expect_silence(self) -> None:
        """Nothing may be left of an earlier measurement, or it would be taken for the next one."""
        if not self._moments.empty():
            raise AssertionError("a process announced itself that was not asked for")

    def _read(self) -> None:
        while True:
            byte = os.read(self._descriptor, 1)
            moment = time.monotonic_ns()
            if byte == _END:
                return
            self._moments.put(moment)
