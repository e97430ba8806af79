"""What each thread of a tree waits for, as the kernel says it: state, place in the kernel, system call, and what the
descriptor leads to.

Called by the stuck detector and the diagnosis. Rules: nothing is stopped or disturbed, all is read from ``/proc``; what
the kernel does not show to this user is left unsaid. Reads are bounded in processes and threads.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from agent.process.kernel import read_head
from agent.watch import descriptors
from agent.watch.sockets import Connection, connections, unix_peers
from agent.watch.system_calls import NAMES

MOST_PROCESSES = 64
MOST_THREADS = 256

Kind = Literal[
    "running", "stopped", "zombie", "sleep", "lock", "child", "input", "reply", "connect", "accept", "pipe_read",
    "pipe_full", "file_lock", "fifo", "disk", "socket", "signal", "unknown",
]  # fmt: skip

_READING = frozenset({"read", "readv", "recvfrom", "recvmsg", "pread64"})
_WRITING = frozenset({"write", "writev", "sendto", "sendmsg", "pwrite64"})
_POLLING = frozenset({"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
_BY_CALL: dict[str, Kind] = {
    "futex": "lock", "nanosleep": "sleep", "clock_nanosleep": "sleep", "restart_syscall": "sleep", "wait4": "child",
    "waitid": "child", "pause": "signal", "rt_sigsuspend": "signal", "rt_sigtimedwait": "signal", "flock": "file_lock",
    "fcntl": "file_lock", "open": "fifo", "openat": "fifo", "fsync": "disk", "semop": "lock", "semtimedop": "lock",
    "msgrcv": "lock",
}  # fmt: skip
_BY_PLACE: tuple[tuple[str, Kind], ...] = (
    ("futex", "lock"), ("hrtimer_nanosleep", "sleep"), ("do_nanosleep", "sleep"), ("do_wait", "child"),
    ("n_tty_read", "input"), ("pipe_read", "pipe_read"), ("pipe_write", "pipe_full"), ("wait_for_partner", "fifo"),
    ("locks_lock_inode_wait", "file_lock"), ("fcntl_setlk", "file_lock"), ("flock", "file_lock"),
    ("inet_csk_accept", "accept"), ("unix_accept", "accept"), ("inet_wait_for_connect", "connect"),
    ("sk_wait_data", "reply"), ("unix_stream", "socket"), ("do_sigtimedwait", "signal"), ("pause", "signal"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadWait:
    """What one thread waits for. ``on``: of the descriptor it waits on. ``kind``: see :data:`Kind`."""

    pid: int
    tid: int
    name: str
    state: str
    kind: Kind
    place: str = ""
    call: str = ""
    fd: int | None = None
    on: str = ""
    connection: Connection | None = None

    @property
    def is_main(self) -> bool:
        """Whether it is the first thread of its process."""
        return self.pid == self.tid


def look(pids: Iterable[int]) -> list[ThreadWait]:
    """Every thread of these processes, as far as the bounds go."""
    processes = list(pids)[:MOST_PROCESSES]
    looking = _Look(processes)
    waits: list[ThreadWait] = []
    for pid in processes:
        for tid in _threads(pid):
            if len(waits) == MOST_THREADS:
                return waits
            wait = looking.thread(pid, tid)
            if wait is not None:
                waits.append(wait)
    return waits


class _Look:
    """One look at a tree. What is the same for all threads is read once, and only when a thread needs it."""

    def __init__(self, processes: list[int]) -> None:
        self._processes = processes
        self._tcp: dict[int, Connection] | None = None
        self._pipe_writers: dict[str, set[int]] | None = None
        self._unix: dict[int, tuple[int, str]] | None = None

    def thread(self, pid: int, tid: int) -> ThreadWait | None:
        """None when it is gone."""
        task = f"/proc/{pid}/task/{tid}"
        head = read_head(f"{task}/stat")
        if not head:
            return None
        name = head[head.index(b"(") + 1 : head.rindex(b")")].decode("utf-8", "replace")
        state = head[head.rindex(b")") + 2 :].split()[0].decode()
        place = read_head(f"{task}/wchan").decode("utf-8", "replace").strip("\0\n")
        place = "" if place == "0" else place
        call, arguments = _call(task)
        wait = ThreadWait(pid=pid, tid=tid, name=name, state=state, kind="unknown", place=place, call=call)
        kinds: dict[str, Kind] = {
            "R": "running",
            "T": "stopped",
            "t": "stopped",
            "Z": "zombie",
            "X": "zombie",
        }
        if state in kinds:
            return _with(wait, kinds[state])
        if "freez" in place:
            return _with(wait, "stopped")
        if state == "D":
            return _with(wait, "disk")
        if call in _READING or call in _WRITING or call in ("connect", "accept", "accept4"):
            return self._on(wait, arguments[0] if arguments else -1, is_writing=call in _WRITING)
        if call in _POLLING:
            return self._polling(wait, arguments)
        if call in _BY_CALL:
            on_file = call in ("flock", "fcntl")
            return (
                self._on(wait, arguments[0], kind=_BY_CALL[call]) if on_file else _with(wait, _BY_CALL[call])
            )
        kind = next((kind for part, kind in _BY_PLACE if part in place), None)
        if kind is None and ("poll" in place or "select" in place):
            return self._any_socket(wait)
        return _with(wait, kind or "unknown")

    def _on(
        self, wait: ThreadWait, fd: int, *, is_writing: bool = False, kind: Kind | None = None
    ) -> ThreadWait:
        """It waits on this descriptor."""
        target = descriptors.target(wait.pid, fd)
        connection = self._connection(wait.pid, target)
        kind = kind or self._kind_of(wait, fd, target, connection, is_writing=is_writing)
        return _with(wait, kind, fd=fd, on=target, connection=connection)

    def _kind_of(
        self, wait: ThreadWait, fd: int, target: str, connection: Connection | None, *, is_writing: bool
    ) -> Kind:
        if connection is not None:
            if connection.state == "LISTEN":
                return "accept"
            return "connect" if connection.state == "SYN_SENT" else "reply"
        if target.startswith("socket:"):
            return "socket"  # whose other end is looked for only where it matters
        if target.startswith("pipe:") or descriptors.is_fifo(wait.pid, fd):
            if is_writing:
                return "pipe_full"
            return "input" if fd == 0 and not self._writers(target) - {wait.pid} else "pipe_read"
        if target.startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
            return "input" if not is_writing else "disk"
        return "disk" if target.startswith("/") else "unknown"

    def _polling(self, wait: ThreadWait, arguments: list[int]) -> ThreadWait:
        """The descriptors it waits on: of ``poll`` from its memory, of ``epoll`` from the kernel, else all of them."""
        if not arguments:
            return self._any_socket(wait)
        if wait.call.startswith("epoll"):
            watched = descriptors.watched_by_epoll(wait.pid, arguments[0])
        elif "poll" in wait.call:
            watched = descriptors.polled(wait.pid, arguments[0], arguments[1])
            if watched == []:
                return _with(wait, "sleep")
        else:
            watched = descriptors.selected(wait.pid, arguments[0], arguments[1])
            if watched == [] and arguments[0] == 0:
                return _with(wait, "sleep")
        if watched is None:
            return self._any_socket(wait)
        return self._most_telling(wait, watched)

    def _any_socket(self, wait: ThreadWait) -> ThreadWait:
        """Which descriptors it waits on is not to be seen: a connection that it has open, if any."""
        return self._most_telling(wait, [int(name) for name in descriptors.names(wait.pid)])

    def _most_telling(self, wait: ThreadWait, watched: list[int]) -> ThreadWait:
        order: tuple[Kind, ...] = ("input", "reply", "connect", "pipe_read", "accept", "socket")
        found = [self._on(wait, fd) for fd in watched[: descriptors.MOST]]
        telling = [one for one in found if one.kind in order and not self._is_own(one)]
        if not telling:
            return _with(wait, "sleep")
        return min(telling, key=lambda one: order.index(one.kind))

    def _is_own(self, wait: ThreadWait) -> bool:
        """A pipe or socket pair by which a program wakes itself up: both ends are its own."""
        if wait.kind == "pipe_read":
            return self._writers(wait.on) <= {wait.pid} and wait.pid in self._writers(wait.on)
        if wait.kind != "socket":
            return False
        return self._unix_path(wait) is None

    def _unix_path(self, wait: ThreadWait) -> str | None:
        """The file that the other end is bound to; None where the other end is a socket of the same process."""
        if self._unix is None:
            self._unix = unix_peers(wait.pid)
        peer, path = self._unix.get(int(wait.on[len("socket:[") : -1]), (0, ""))
        own = {descriptors.target(wait.pid, int(name)) for name in descriptors.names(wait.pid)}
        return None if f"socket:[{peer}]" in own else path

    def _connection(self, pid: int, target: str) -> Connection | None:
        match = re.fullmatch(r"socket:\[(\d+)\]", target)
        if match is None:
            return None
        if self._tcp is None:
            self._tcp = connections(pid)
        return self._tcp.get(int(match[1]))

    def _writers(self, pipe: str) -> set[int]:
        if self._pipe_writers is None:
            self._pipe_writers = descriptors.pipe_writers(self._processes)
        return self._pipe_writers.get(pipe, set())


def _threads(pid: int) -> list[int]:
    try:
        return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - only names
    except OSError:
        return []


def _call(task: str) -> tuple[str, list[int]]:
    """The system call it is in, by name, and its arguments; empty where that is not shown."""
    fields = read_head(f"{task}/syscall").split()
    if len(fields) < 7 or not fields[0].isdigit():  # noqa: PLR2004 - "running", or nothing at all
        return "", []
    return NAMES.get(int(fields[0]), ""), [int(field, 16) for field in fields[1:7]]


def _with(
    wait: ThreadWait, kind: Kind, *, fd: int | None = None, on: str = "", connection: Connection | None = None
) -> ThreadWait:
    return replace(wait, kind=kind, fd=fd, on=on, connection=connection)
