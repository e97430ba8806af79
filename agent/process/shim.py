"""The resident keeper of one attempt: has its main process started, reaps everything, records the ending.

Rules:

- It outlives the agent and is disturbed by none: it never relays output and needs no one to listen.
- It is the child subreaper, so every orphan of the tree becomes its child: no children left means all gone.
- ``process.json`` is on disk before the program runs; ``exit.json`` before anybody is told of the exit.
- It stays outside the attempt's cgroup, ends by itself when main has ended, no child is left and both are recorded.
- One of these is resident for every run, and every page it writes to is its own: standard library alone, the work of
  starting is done in a child that ends, and what all shims have in common is set up by the zygote before the fork.

The agent speaks JSON lines over ``shim.sock``: ``{"id": 1, "ask": "hello"}`` is answered by ``{"id": 1, ...}``;
``{"event": "exit", ...}`` and ``{"event": "gone", ...}`` come unasked.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import time
from collections import deque
from typing import Any, NoReturn

from agent.process import starter
from agent.process.durable import use_reserve
from agent.process.kernel import iso_now, signal_name
from agent.process.shim_connection import Connection
from agent.process.starter import reserves

SOCKET_NAME = "shim.sock"
REAPED_KEPT = 4096
REAPED_WITH_GONE = 512
CONNECTIONS = 8
RECORD_RETRIES = 3600
FLUSH_SECONDS = 2.0

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(
    channel: socket.socket, title: bytes, directory_path: bytes, title_memory: tuple[int, int]
) -> NoReturn:
    """Be the shim of the attempt whose spec comes as one line over ``channel``. For a fresh fork; never returns.

    ``title_memory``: where the kernel reads this process's command line, and how much room there is.
    """
    status = 1
    try:
        _detach(channel, title, title_memory)
        directory = os.open(directory_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            keeper = _have_started(channel, directory)
            if keeper is not None:
                keeper.keep()
            status = 0
        except BaseException:  # noqa: BLE001 - nobody above: what went wrong is left where it can be found
            _leave_trace(directory)
    finally:
        os._exit(status)


def _detach(channel: socket.socket, title: bytes, title_memory: tuple[int, int]) -> None:
    os.setsid()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NAME, b"rp-shim", 0, 0, 0)
    # `ps` is to show the run, and not the command line of the zygote.
    start, room = title_memory
    if room > 1:
        ctypes.memmove(start, title[: room - 1].ljust(room, b"\0"), room)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    kept = channel.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, max(os.sysconf("SC_OPEN_MAX"), kept + 2))


def _have_started(channel: socket.socket, directory: int) -> "Keeper | None":
    """Have a child start the main process, which becomes ours when that child ends. ``None``: nothing was started."""
    stdin_read, stdin_write = os.pipe()
    report_read, report_write = os.pipe()
    shim = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(stdin_write)
        os.close(report_read)
        starter.run(channel, directory, stdin=stdin_read, report=report_write, shim=shim)
    os.close(stdin_read)
    os.close(report_write)
    report = b""
    while chunk := os.read(report_read, 4096):
        report += chunk
    os.close(report_read)
    os.waitpid(child, 0)
    if not report:
        return None
    head, _, answer = report.partition(b"\n")
    started = json.loads(head)
    listener = None
    # A file system without sockets costs reconnection after an agent's restart, not the run.
    with contextlib.suppress(OSError):
        listener = _listen(directory)
    keeper = Keeper(
        main=started["main"],
        launch_error=started["launch_error"],
        cgroup=started["cgroup"],
        directory=directory,
        listener=listener,
        channel=channel,
        stdin=stdin_write,
    )
    keeper.pass_on(answer)
    return keeper


def _listen(directory: int) -> socket.socket:
    """A socket inside the run directory, reached through its descriptor: a socket's path may have 107 bytes only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        listener.listen(CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _leave_trace(directory: int) -> None:
    import traceback  # noqa: PLC0415 - large, and needed in a shim that failed only

    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        trace = os.open("shim.log", flags, 0o600, dir_fd=directory)
        os.write(trace, f"{iso_now()} {traceback.format_exc()}".encode())


class Keeper:
    """The loop: it only waits, reaps, records and answers."""

    def __init__(
        self,
        *,
        main: int,
        launch_error: dict[str, Any] | None,
        cgroup: str | None,
        directory: int,
        listener: socket.socket | None,
        channel: socket.socket,
        stdin: int,
    ) -> None:
        """Take over the started main process, the run directory and the first connection."""
        self._launch_error = launch_error
        self._main = main
        self._directory = directory
        self._listener = listener
        self._stdin: int | None = stdin
        self._cgroup = cgroup
        self._exit: dict[str, Any] | None = None
        self._empty = False
        self._unused_reserves = reserves(os.getpid())
        self._recorded: dict[str, Any] | None = None
        self._record_tries = 0
        self._reaped: deque[tuple[int, int | None, str | None]] = deque(maxlen=REAPED_KEPT)
        self._connections = {channel.fileno(): Connection(channel)}
        self._poll = select.poll()
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def pass_on(self, answer: bytes) -> None:
        """Send what the starter wrote to the agent that waits for the launch."""
        for connection in self._connections.values():
            connection.unsent += answer
            connection.flush()

    def keep(self) -> None:
        """Until main has ended, nobody is left and both are on disk."""
        while True:
            self._reap()
            self._record()
            if self._empty and (self._recorded == self._exit or self._record_tries > RECORD_RETRIES):
                break
            self._watch()
            # Only a record that the disk refused makes this loop wake by time.
            for descriptor, _ in self._poll.poll(None if self._recorded == self._exit else 1000):
                self._serve(descriptor)
        self._part()

    def _watch(self) -> None:
        self._poll.register(self._wake, select.POLLIN)
        if self._listener is not None:
            self._poll.register(self._listener.fileno(), select.POLLIN)
        for descriptor, connection in self._connections.items():
            self._poll.register(descriptor, select.POLLIN | (select.POLLOUT if connection.unsent else 0))

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                if self._exit is not None and not self._empty:
                    self._empty = True
                    self._exit["empty_at"] = iso_now()
                return
            if pid == 0:
                return
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            name = signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
            self._reaped.append((pid, code, name))
            if pid == self._main and self._exit is None:
                self._exit = {
                    "code": code,
                    "signal": name,
                    "wait_status": status,
                    "rusage": {
                        "user_seconds": usage.ru_utime,
                        "system_seconds": usage.ru_stime,
                        "max_rss_bytes": usage.ru_maxrss * 1024,
                    },
                    "exited_at": iso_now(),
                }
                if self._launch_error is not None:
                    self._exit["launch_error"] = self._launch_error

    def _record(self) -> None:
        if self._exit is None or self._recorded == self._exit:
            return
        announced = self._record_tries
        self._record_tries += 1
        exit_ = dict(self._exit)
        with contextlib.suppress(OSError):
            reserved = self._unused_reserves[0] if self._unused_reserves else ".exit.fresh"
            use_reserve(self._directory, reserved, "exit.json", json.dumps(exit_).encode())
            del self._unused_reserves[:1]
            self._recorded = exit_
            announced, self._record_tries = 0, 0
        # A full disk must not hide the ending from an agent that listens: it is told once at the first failure.
        if announced == 0:
            self.tell({"event": "exit", "exit": exit_})

    def _serve(self, descriptor: int) -> None:
        if descriptor == self._wake:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        elif self._listener is not None and descriptor == self._listener.fileno():
            self._accept(self._listener)
        elif connection := self._connections.get(descriptor):
            requests = connection.receive()
            if (
                requests is None
                or not connection.flush()
                or not all(self._reply(connection, r) for r in requests)
            ):
                self._drop(descriptor)

    def _accept(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        if len(self._connections) >= CONNECTIONS:
            peer.close()
        else:
            self._connections[peer.fileno()] = Connection(peer)

    def _reply(self, connection: Connection, request: Any) -> bool:
        if not isinstance(request, dict):
            return False
        answer: dict[str, Any] = {"id": request.get("id")}
        match request.get("ask"):
            case "hello":
                answer |= {"main": self._main, "exit": self._recorded, "children_left": self._has_children()}
            case "close_stdin":
                if self._stdin is not None:
                    os.close(self._stdin)
                    self._stdin = None
                answer["closed"] = True
            case "reaped":
                answer["reaped"] = list(self._reaped)
            case unknown:
                answer["error"] = (
                    f"unknown request {str(unknown)[:80]!r}; known are hello, close_stdin, reaped"
                )
        return connection.send(answer)

    def _has_children(self) -> bool:
        try:
            # WNOWAIT: looking must not take the status that belongs to the next reaping.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def tell(self, message: dict[str, Any]) -> None:
        """Say it to every agent that is connected."""
        for descriptor in [d for d, connection in self._connections.items() if not connection.send(message)]:
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError, OSError):
            self._poll.unregister(descriptor)
        self._connections.pop(descriptor).peer.close()

    def _part(self) -> None:
        if self._cgroup is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self._cgroup)  # noqa: PTH106 - pathlib is memory in every shim
        for name in (SOCKET_NAME, *self._unused_reserves):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
        self.tell({"event": "gone", "reaped": list(self._reaped)[-REAPED_WITH_GONE:]})
        until = time.monotonic() + FLUSH_SECONDS
        for connection in self._connections.values():
            while connection.unsent and (left := until - time.monotonic()) > 0:
                select.select([], [connection.peer], [], left)
                if not connection.flush():
                    break
