"""The floor: what the kernel itself needs. A bare ``posix_spawn``, a bare ``killpg`` and the wait for the end."""

import contextlib
import os
import platform
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.contender import SLEEPER, VISITOR, Method, argv


class Floor:
    """No keeper, no log, no answer: the caller does it."""

    name = "floor"

    def __init__(self, fifo: Path) -> None:
        """Nothing runs yet."""
        self.version = f"posix_spawn and killpg, Linux {platform.release()}"
        self.fifo = fifo
        self._pid = 0
        self._signal = signal.SIGTERM
        self._visitors: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self) -> None:
        """The cheapest thing to ask of a kernel."""
        os.getppid()

    def start(self, method: Method) -> None:
        """Spawn, in a process group of its own."""
        self._signal = signal.SIGKILL if method == "force" else signal.SIGTERM
        self._pid = self._spawn(SLEEPER)

    def pid(self) -> int:
        """Known at once."""
        return self._pid

    def kill(self) -> None:
        """Signal the group, reap the leader."""
        os.killpg(self._pid, self._signal)
        os.waitpid(self._pid, 0)
        self._pid = 0

    def restart(self) -> None:
        """Kill, then spawn."""
        self.kill()
        self._pid = self._spawn(SLEEPER)

    def start_many(self, count: int) -> None:
        """Spawn them one after the other; those of the time before are reaped first."""
        self._reap()
        self._visitors = [self._spawn(VISITOR) for _ in range(count)]

    def close(self) -> None:
        """Kill what is left."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                self.kill()
        self._reap()

    def _spawn(self, script: str) -> int:
        arguments = argv(script, self.fifo)
        return os.posix_spawn(arguments[0], arguments, os.environ, setpgroup=0)

    def _reap(self) -> None:
        for pid in self._visitors:
            os.waitpid(pid, 0)
        self._visitors = []
