"""One child process, waited for through its pidfd: no thread, no poll, and never a signal to another's pid."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runplane.cli import attached


class Child:
    """A process in a session of its own that dies with this one (see ``attached``). Must be waited for or killed.

    Its own session keeps the terminal's Ctrl-C from it: the order of stopping is decided here.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], output: int) -> None:
        """Start it; ``output`` is the descriptor it prints to. Call on the event loop's own thread: the kernel
        ties the child's life to the thread that made it.
        """
        wrapper = [sys.executable, "-I", "-S", str(Path(attached.__file__)), str(os.getpid())]
        self._process = subprocess.Popen(
            [*wrapper, *argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._descriptor = os.pidfd_open(self.pid)
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    @property
    def returncode(self) -> int | None:
        """As of ``subprocess``: negative for a signal, None while it lives."""
        return self._process.returncode

    async def wait(self) -> int:
        """Until it has ended."""
        await self._gone.wait()
        return self._process.wait(0)

    async def stop(self, *, limit: float, hurry: asyncio.Event) -> bool:
        """SIGTERM, then SIGKILL after ``limit`` seconds or on ``hurry``; whether it ended by itself."""
        self.send(signal.SIGTERM)
        ended = asyncio.ensure_future(self._gone.wait())
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        hurried.cancel()
        if self._gone.is_set():
            return True
        self.send(signal.SIGKILL)
        await self._gone.wait()
        return False

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it has not been reaped."""
        if not self._gone.is_set():
            signal.pidfd_send_signal(self._descriptor, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._process.wait()
        os.close(self._descriptor)
        self._gone.set()


def describe(returncode: int) -> str:
    """How it ended, in words: ``exit code 3`` or ``signal SIGKILL``."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"
