"""What this package hands to its callers: frozen values.

Moments are ISO-8601 in UTC with microseconds (``2026-01-31T12:00:00.000000Z``); durations come from the monotonic
clock; sizes are bytes; signals are named (``SIGTERM``).
"""

import os
from dataclasses import dataclass
from typing import Any, Literal

from agent.process.kernel import signal_name

Mechanism = Literal["cgroup", "freezer", "subreaper"]
"""How a tree is held together: a cgroup of version 2, of the version 1 freezer, or the shim alone."""
Method = Literal["graceful", "force"]
VerifiedBy = Literal["cgroup", "subreaper", "session", "environment"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceUsage:
    """What the main process, and the children it waited for, used up."""

    user_seconds: float
    system_seconds: float
    max_rss_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitRecord:
    """How the main process ended: a code or a signal. ``launch_error`` (``{errno, where}``): its program never ran.

    ``empty_at``: when the last process of the attempt was gone, where that was known at the time of reading.
    ``limits_reached``: the controllers of cgroups (``memory``, ``pids``) whose limit the attempt had reached by then;
    ``lease``: its lease was over, and its shim ended it.
    """

    code: int | None
    signal: str | None
    rusage: ResourceUsage | None
    exited_at: str
    launch_error: dict[str, Any] | None = None
    empty_at: str | None = None
    limits_reached: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``exit 3`` or ``SIGKILL``, as receipts say it."""
        return self.signal or f"exit {self.code}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessFacts:
    """One live process of an attempt. ``cmdline``: at most 4 KiB, arguments parted by spaces; ``state``: R S D T t."""

    pid: int
    start_time: int
    ppid: int
    cmdline: str
    state: str
    rss_bytes: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalSent:
    """A signal that was sent."""

    signal: str
    pid: int
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessEnd:
    """A process of the tree and how it ended: ``exit 0``, ``SIGKILL``, or ``gone`` where nobody could know."""

    pid: int
    start_time: int
    cmdline: str
    exit: str
    rss_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survivor:
    """A process that was not gone when the limit was over, and why."""

    pid: int
    start_time: int
    cmdline: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """What the tree had left and was removed: socket files, segments of shared memory, and their bytes."""

    sockets: int = 0
    segments: int = 0
    segment_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeEnded:
    """The proof of an ending. ``verified`` only when the kernel showed that no process of the attempt is left.

    ``exit`` is the true ending of the main process; ``asked`` says whether this agent or an earlier one had asked it to
    end before that, so an end that came by itself is told apart.
    ``freed_*`` and ``listening_ports`` are what was seen just before the first signal.
    """

    method: Method
    signals: tuple[SignalSent, ...]
    processes: tuple[ProcessEnd, ...]
    survivors: tuple[Survivor, ...]
    verified: bool
    verified_by: tuple[VerifiedBy, ...]
    freed_rss_bytes: int
    freed_open_files: int
    listening_ports: tuple[int, ...]
    remains: Remains
    started_at: str
    ended_at: str
    duration_ms: float
    exit: ExitRecord | None
    asked: bool


def exit_from_wait_status(status: int) -> tuple[int | None, str | None]:
    """``(code, signal)`` of a wait status."""
    if os.WIFSIGNALED(status):
        return None, signal_name(os.WTERMSIG(status))
    return os.WEXITSTATUS(status), None
