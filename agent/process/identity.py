"""Which process is meant, beyond doubt.

A pid alone names nothing: it is used again. (boot id, pid, start time) names one process for ever, because the kernel
does not give a pid out twice within one clock tick. Nothing is ever signalled by a bare pid: first a pidfd is opened,
then the start time is compared, and from there on the pidfd cannot come to mean another process.
"""

import fcntl
import os
import select
import signal
import struct
from dataclasses import dataclass
from functools import cache

from agent.process import kernel

# PIDFD_GET_INFO (Linux 6.13) with PIDFD_INFO_EXIT (6.15): the wait status of a process that someone else has reaped.
_INFO_SIZE = 64
_GET_INFO = (3 << 30) | (_INFO_SIZE << 16) | (0xFF << 8) | 11
_INFO_EXIT = 1 << 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessIdentity:
    """One process. ``start_time``: clock ticks since boot (field 22 of ``/proc/PID/stat``)."""

    boot_id: str
    pid: int
    start_time: int


@cache
def current_boot() -> str:
    """The identity of this boot; it cannot change while we run."""
    return kernel.boot_id()


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now (a zombie, too); ``None`` when there is none."""
    stat = kernel.read_stat(pid)
    return stat and ProcessIdentity(boot_id=current_boot(), pid=pid, start_time=stat.start_time)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs (or is stopped). A zombie runs no more, so it counts as not alive."""
    if identity.boot_id != current_boot():
        return False
    stat = kernel.read_stat(identity.pid)
    return (
        stat is not None and stat.start_time == identity.start_time and stat.state not in kernel.ZOMBIE_STATES
    )


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """A descriptor of this very process, for the caller to close; ``None`` when it is gone. A zombie still has one."""
    if identity.boot_id != current_boot():
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    stat = kernel.read_stat(identity.pid)
    if stat is None or stat.start_time != identity.start_time:
        os.close(pidfd)
        return None
    return pidfd


def send_signal(pidfd: int, number: int) -> bool:
    """Signal the process; False when it is gone. PermissionError when it belongs to another user."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def has_ended(pidfd: int) -> bool:
    """Whether the process has ended, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def wait_status_of(pidfd: int) -> int | None:
    """The wait status of an ended process, whoever reaped it; ``None`` before that, and on kernels before 6.15."""
    info = bytearray(struct.pack("Q", _INFO_EXIT).ljust(_INFO_SIZE, b"\0"))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info, True)
    except OSError:
        return None
    (mask,) = struct.unpack_from("Q", info)
    (status,) = struct.unpack_from("i", info, _INFO_SIZE - 4)
    return int(status) if mask & _INFO_EXIT else None
