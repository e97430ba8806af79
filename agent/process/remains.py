"""What a tree leaves when it is gone: socket files that nobody listens on, shared memory that nobody holds.

Called when the kernel has shown that nobody of the tree is left. Rules: only what the tree itself made since it was
started, and what nobody else uses, and of that the kernel's word: a socket file to which nobody is bound refuses a
connection, and a file that anybody has open or mapped refuses a lease. Where the kernel does not say, it stays.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import stat
from collections.abc import Collection
from pathlib import Path

from agent.process.holdings import FileIdentity, Holdings
from agent.process.kernel import read_head
from agent.process.records import Remains

_SYSTEM_V = "/proc/sysvipc/shm"
_SYSTEM_V_BYTES = 1 << 20
_IPC_RMID = 0
_STATX_BTIME = 0x800
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


def remove(holdings: Holdings, pids: Collection[int], since: float) -> Remains:
    """Remove it. ``pids``: every process the tree is known to have had; ``since``: its start, seconds of the epoch."""
    sockets = sum(_remove_socket(file) for file in holdings.sockets)
    sizes = [size for file in holdings.segments if (size := _remove_segment(file, since)) is not None]
    sizes += _remove_system_v(pids, since)
    return Remains(sockets=sockets, segments=len(sizes), segment_bytes=sum(sizes))


def _remove_socket(file: FileIdentity) -> bool:
    seen = file.is_there()
    if seen is None or not stat.S_ISSOCK(seen.st_mode) or not _nobody_is_bound(file.path):
        return False
    return _unlink(file)


def _nobody_is_bound(path: str) -> bool:
    # To a socket of another kind the kernel says so, and not that it refuses: nobody gets to know of being asked.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _remove_segment(file: FileIdentity, since: float) -> int | None:
    """Its size in bytes; ``None`` when it stays."""
    seen = file.is_there()
    if seen is None or _made_at(file.path) < since or not _nobody_holds(file):
        return None
    return seen.st_blocks * 512 if _unlink(file) else None


def _nobody_holds(file: FileIdentity) -> bool:
    try:
        descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        seen = os.fstat(descriptor)
        if (seen.st_dev, seen.st_ino) != (file.device, file.inode):
            return False
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _made_at(path: str) -> float:
    """When the file was made, in seconds of the epoch; 0 where the file system does not tell."""
    buffer = ctypes.create_string_buffer(256)
    try:
        failed = _LIBC.statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer)
    except AttributeError:
        return 0.0  # a C library older than 2.28
    if failed or not ctypes.c_uint32.from_buffer(buffer).value & _STATX_BTIME:
        return 0.0
    return _seconds(buffer, 80)


def _seconds(buffer: "ctypes.Array[ctypes.c_char]", offset: int) -> float:
    """A ``struct statx_timestamp``: 64 bits of seconds, 32 bits of nanoseconds."""
    seconds = ctypes.c_int64.from_buffer(buffer, offset).value
    return seconds + ctypes.c_uint32.from_buffer(buffer, offset + 8).value / 1e9


def _remove_system_v(pids: Collection[int], since: float) -> list[int]:
    """The sizes of those removed, in bytes."""
    sizes: list[int] = []
    for line in read_head(_SYSTEM_V, _SYSTEM_V_BYTES).splitlines()[1:]:
        with contextlib.suppress(ValueError, IndexError):
            fields = [int(field) for field in line.split()]
            number, size, maker, attached, changed = fields[1], fields[3], fields[4], fields[6], fields[13]
            # Changed is in whole seconds. A maker that lives is another process: all of the tree are gone.
            mine = maker in pids and changed + 1 > since and not Path(f"/proc/{maker}").exists()
            if mine and attached == 0 and _LIBC.shmctl(number, _IPC_RMID, None) == 0:
                sizes.append(fields[14] if len(fields) > 14 else size)  # noqa: PLR2004 - rss, where it is told
    return sizes


def _unlink(file: FileIdentity) -> bool:
    try:
        os.unlink(file.path)  # noqa: PTH108 - by the same text it was looked up by
    except OSError:
        return False
    return True
