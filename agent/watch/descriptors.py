"""The descriptors of other processes: what they lead to, and which of them a thread waits on.

Called by the looks at what threads wait for and at what moves. Rules: everything is read from ``/proc``, the memory of
another process included, and nothing is touched; what this user may not see is ``None`` or empty. Reads are bounded.
"""

import os
import stat
import struct
from collections.abc import Iterable

from agent.process.kernel import read_head

MOST = 512
_POLLFD = struct.Struct("=ihh")
_POLLIN = 0x1
_WRITE_ONLY, _READ_WRITE = 1, 2
_MOST_SELECTED = 1024
_EPOLL_BYTES = 1 << 16


def target(pid: int, fd: int) -> str:
    """What it leads to: a path, ``socket:[inode]``, ``pipe:[inode]``; empty when that is not to be seen."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115 - a hot path
    except OSError:
        return ""


def is_fifo(pid: int, fd: int) -> bool:
    """Whether it is a pipe, with a name or without."""
    try:
        return stat.S_ISFIFO(os.stat(f"/proc/{pid}/fd/{fd}").st_mode)  # noqa: PTH116 - a hot path
    except OSError:
        return False


def _memory(pid: int, address: int, size: int) -> bytes | None:
    """Of another process, read and not touched; None where that is not allowed."""
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = os.pread(descriptor, size, address)
    except (OSError, OverflowError):
        return None
    finally:
        os.close(descriptor)
    return content if len(content) == size else None


def polled(pid: int, address: int, count: int) -> list[int] | None:
    """Those that a ``poll`` with these arguments waits to read from."""
    count = min(count, MOST)
    content = _memory(pid, address, count * _POLLFD.size) if count else b""
    if content is None:
        return None
    return [fd for fd, events, _ in _POLLFD.iter_unpack(content) if fd >= 0 and events & _POLLIN]


def selected(pid: int, count: int, address: int) -> list[int] | None:
    """Those that a ``select`` with these arguments waits to read from."""
    if count == 0 or address == 0:
        return []
    size = (min(count, _MOST_SELECTED) + 63) // 64 * 8
    content = _memory(pid, address, size)
    if content is None:
        return None
    bits = int.from_bytes(content, "little")
    return [fd for fd in range(min(count, size * 8)) if bits >> fd & 1]


def watched_by_epoll(pid: int, epoll: int) -> list[int] | None:
    """Those that are registered with this ``epoll`` descriptor."""
    raw = read_head(f"/proc/{pid}/fdinfo/{epoll}", _EPOLL_BYTES)
    if not raw:
        return None
    return [int(line.split()[1]) for line in raw.splitlines() if line.startswith(b"tfd:")]


def names(pid: int) -> list[str]:
    """Of all its descriptors, as far as the bound goes."""
    try:
        return os.listdir(f"/proc/{pid}/fd")[:MOST]  # noqa: PTH208 - only names
    except OSError:
        return []


def pipe_writers(processes: Iterable[int]) -> dict[str, set[int]]:
    """Of each pipe that these processes have open: who of them can write into it."""
    writers: dict[str, set[int]] = {}
    for pid in processes:
        for name in names(pid):
            pipe = target(pid, int(name))
            if pipe.startswith("pipe:") and _mode(pid, int(name)) in (_WRITE_ONLY, _READ_WRITE):
                writers.setdefault(pipe, set()).add(pid)
    return writers


def _mode(pid: int, fd: int) -> int:
    for line in read_head(f"/proc/{pid}/fdinfo/{fd}").splitlines():
        if line.startswith(b"flags:"):
            return int(line.split()[1], 8) & 3
    return 0
