"""What the processes of a tree hold, seen just before they are ended: open files, listening ports, socket files, and
shared memory they made.

Called by the evidence. Rules: a look is bounded in descriptors and in time, for the ending of a tree waits for it; what
it does not get to is not counted. A file is known by device and inode, so that none is ever taken for another.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter

from agent.process.kernel import read_head

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where the C library puts it
_NET_BYTES = 256 << 10
_MAPS_BYTES = 1 << 20
_MOST_NAMED = 256
_MOST_ENTRIES = 4096
_LISTEN = b"0A"


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file by its path, and which one that was."""

    path: str
    device: int
    inode: int

    def is_there(self) -> os.stat_result | None:
        """What is known of it, when the path still leads to this very file."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found if (found.st_dev, found.st_ino) == (self.device, self.inode) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """``sockets``: files that a unix socket of the tree is bound to. ``segments``: its POSIX shared memory."""

    open_files: int = 0
    listening_ports: tuple[int, ...] = ()
    sockets: frozenset[FileIdentity] = frozenset()
    segments: frozenset[FileIdentity] = frozenset()


def look(pids: Iterable[int], *, since: float, files: int, seconds: float) -> Holdings:
    """What these processes hold now.

    Ends early after ``files`` descriptors or ``seconds``. ``since``: shared memory last changed before that moment, in
    seconds of the epoch, was not made by them.
    """
    looking = _Look(_segments(since), files, perf_counter() + seconds)
    for pid in pids:
        if not looking.at(pid):
            break
    return Holdings(
        open_files=looking.count,
        listening_ports=tuple(sorted(looking.ports)),
        sockets=frozenset(looking.sockets),
        segments=frozenset(looking.held),
    )


class _Look:
    """One look at several processes. Tables of the network are read once for each network namespace."""

    def __init__(self, segments: dict[str, FileIdentity], files: int, until: float) -> None:
        self.count = 0
        self.ports: set[int] = set()
        self.sockets: set[FileIdentity] = set()
        self.held: set[FileIdentity] = set()
        self._segments = segments
        self._files = files
        self._until = until
        self._networks: dict[str, tuple[dict[bytes, int], dict[bytes, bytes]]] = {}

    def at(self, pid: int) -> bool:
        """Count what this one holds. False: the bound is reached."""
        try:
            names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - only names
        except OSError:
            return True
        self.count += len(names)
        sockets: set[bytes] = set()
        for name in names[: max(0, self._files)]:
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115 - a hot path
                if target.startswith("socket:["):
                    sockets.add(target[len("socket:[") : -1].encode())
                elif target in self._segments:
                    self.held.add(self._segments[target])
        self._files -= len(names)
        if sockets and self._files > 0:
            self._look_at_sockets(pid, sockets)
        if len(self.held) < len(self._segments) and self._files > 0:
            self._look_at_maps(pid)
        return perf_counter() <= self._until and self._files > 0

    def _look_at_sockets(self, pid: int, inodes: set[bytes]) -> None:
        try:
            network = os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 - a hot path
        except OSError:
            return
        if network not in self._networks:
            self._networks[network] = (_listening(pid), _bound(pid))
        listening, bound = self._networks[network]
        self.ports |= {listening[inode] for inode in inodes & listening.keys()}
        for inode in inodes & bound.keys():
            file = _socket_file(pid, os.fsdecode(bound[inode]))
            if file is not None and len(self.sockets) < _MOST_NAMED:
                self.sockets.add(file)

    def _look_at_maps(self, pid: int) -> None:
        maps = read_head(f"/proc/{pid}/maps", _MAPS_BYTES)
        if SHARED_MEMORY.encode() in maps:
            paths = {os.fsdecode(line.split(None, 5)[-1]) for line in maps.splitlines()}
            self.held |= {self._segments[path] for path in paths & self._segments.keys()}


def _segments(since: float) -> dict[str, FileIdentity]:
    """POSIX shared memory that was made or changed since then, by path."""
    found: dict[str, FileIdentity] = {}
    with contextlib.suppress(OSError), os.scandir(SHARED_MEMORY) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            with contextlib.suppress(OSError):
                seen = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(seen.st_mode) and seen.st_ctime >= since:
                    found[entry.path] = FileIdentity(entry.path, seen.st_dev, seen.st_ino)
            if len(found) == _MOST_NAMED:
                break
    return found


def _listening(pid: int) -> dict[bytes, int]:
    """The port of each listening TCP socket, by inode. The kernel lists those first: a bounded read will do."""
    ports: dict[bytes, int] = {}
    for table in ("tcp", "tcp6"):
        for line in read_head(f"/proc/{pid}/net/{table}", _NET_BYTES).splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10 or fields[3] != _LISTEN:  # noqa: PLR2004 - a line cut short by the bound
                break
            ports[fields[9]] = int(fields[1].rsplit(b":", 1)[1], 16)
    return ports


def _bound(pid: int) -> dict[bytes, bytes]:
    """The path of each unix socket that is bound to a file, by inode."""
    paths: dict[bytes, bytes] = {}
    for line in read_head(f"/proc/{pid}/net/unix", _NET_BYTES).splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and not fields[7].startswith(b"@"):  # noqa: PLR2004 - one without a path has seven
            paths[fields[6]] = fields[7]
    return paths


def _socket_file(pid: int, path: str) -> FileIdentity | None:
    """The file as that process sees it: it may have another root, and a relative path counts from where it stands."""
    with contextlib.suppress(OSError):
        if not path.startswith("/"):
            path = os.path.join(os.readlink(f"/proc/{pid}/cwd"), path)  # noqa: PTH115, PTH118 - a hot path
        seen = os.lstat(f"/proc/{pid}/root{path}")
        if stat.S_ISSOCK(seen.st_mode):
            return FileIdentity(path, seen.st_dev, seen.st_ino)
    return None
