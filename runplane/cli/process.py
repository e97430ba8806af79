"""Processes by identity, not by number: a pid alone may have been given to another program meanwhile."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_TIME = 19  # field 22 of /proc/PID/stat, counted after the command name's closing parenthesis


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process and when it began, in the kernel's ticks since boot."""

    pid: int
    start_time: int

    def is_alive(self) -> bool:
        """Whether this very process still exists and is no zombie."""
        try:
            fields = _stat(self.pid)
        except (OSError, IndexError):
            return False
        return int(fields[_START_TIME]) == self.start_time and fields[0] not in "ZX"


def identify(pid: int) -> Identity:
    """The identity of a living process; ``OSError`` where there is none."""
    return Identity(pid=pid, start_time=int(_stat(pid)[_START_TIME]))


@contextlib.contextmanager
def holding(identity: Identity) -> Iterator[int | None]:
    """A pidfd of this very process, None where it is gone; opened first and compared after, so it is no other."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        yield None
        return
    try:
        yield descriptor if identity.is_alive() else None
    finally:
        os.close(descriptor)


def terminate(descriptor: int, *, limit: float) -> bool:
    """Send SIGTERM and wait for the end at most ``limit`` seconds; whether it came."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    watch = select.poll()
    watch.register(descriptor, select.POLLIN)
    return bool(watch.poll(limit * 1000))


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
