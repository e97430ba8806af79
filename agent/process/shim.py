"""The resident keeper of one attempt: forks its main process, reaps everything, records the ending.

Rules:

- It outlives the agent and is disturbed by none: it never relays output and needs no one to listen.
- It is the child subreaper, so every orphan of the tree becomes its child: no children left means all gone.
- ``process.json`` is on disk before the program runs; ``exit.json`` before anybody is told of the exit.
- It stays outside the attempt's cgroup, ends by itself when main has ended, no child is left and both are recorded.
- Standard library alone, and little of it: one of these is resident for every run.

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

from agent.process.durable import create_file, reserve, use_reserve
from agent.process.kernel import boot_id, fork_count, read_stat
from agent.process.spawn import HeldChild, fork_held

SOCKET_NAME = "shim.sock"
SPEC_SECONDS = 10.0
SPEC_BYTES = 32 << 20
REAPED_KEPT = 4096
REAPED_WITH_GONE = 512
CONNECTIONS = 8
RECEIVE_BYTES = 64 << 10
SEND_BYTES = 1 << 20
RECORD_RETRIES = 3600
FLUSH_SECONDS = 2.0

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_IGNORED = ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTSTP")
_RESERVES = (".exit.reserve", ".gone.reserve")
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(channel: socket.socket) -> NoReturn:
    """Be the shim of the attempt whose spec comes as one line over ``channel``. For a fresh fork; never returns."""
    status = 1
    try:
        _detach(channel)
        spec = _receive_spec(channel)
        if spec is not None:
            directory = os.open(spec["directory"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _set_title(f"rp-shim {spec['run_id']}.{spec['attempt']}")
                keeper = _launch(spec, directory, channel)
                del spec
                if keeper is not None:
                    keeper.keep()
                status = 0
            except BaseException:  # noqa: BLE001 - nobody above: what went wrong is left where it can be found
                _leave_trace(directory)
    finally:
        os._exit(status)


def _detach(channel: socket.socket) -> None:
    os.setsid()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NAME, b"rp-shim", 0, 0, 0)
    for name in _IGNORED:
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    os.umask(0o077)
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    kept = channel.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, max(os.sysconf("SC_OPEN_MAX"), kept + 2))


def _set_title(title: str) -> None:
    """Show the run in ``ps`` instead of the command line of the zygote. The memory is the kernel's view of our argv."""
    stat = read_stat(os.getpid())
    if stat and (room := stat.arg_end - stat.arg_start) > 1:
        ctypes.memmove(stat.arg_start, title.encode()[: room - 1].ljust(room, b"\0"), room)


def _receive_spec(channel: socket.socket) -> dict[str, Any] | None:
    channel.settimeout(SPEC_SECONDS)
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = channel.recv(RECEIVE_BYTES)
        if not chunk or len(received) > SPEC_BYTES:
            return None
        received += chunk
    spec: dict[str, Any] = json.loads(received)
    return spec


def _launch(spec: dict[str, Any], directory: int, channel: socket.socket) -> "Keeper | None":
    """Start the main process; the answer goes over ``channel``. ``None`` when nothing was started."""
    where = "directory"
    try:
        for name in _RESERVES:
            reserve(directory, name, 1024)
        stdout, stderr = (
            os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory)
            for name in ("stdout.log", "stderr.log")
        )
        stdin_read, stdin_write = os.pipe()
        where = "fork"
        child = fork_held(spec, stdin_read, stdout, stderr)
    except OSError as error:
        _answer(channel, {"launch_error": {"errno": error.errno, "where": where}})
        return None
    for descriptor in (stdin_read, stdout, stderr):
        os.close(descriptor)
    record = _process_record(spec, child)
    listener = None
    try:
        created = create_file(directory, "process.json", json.dumps(record).encode())
    except OSError as error:
        child.drop()
        _answer(channel, {"launch_error": {"errno": error.errno, "where": "process.json"}})
        return None
    if not created:
        child.drop()
        _answer(channel, {"launch_error": {"errno": None, "where": "already_launched"}})
        return None
    # A file system without sockets costs reconnection after an agent's restart, not the run.
    with contextlib.suppress(OSError):
        listener = _listen(directory)
    keeper = Keeper(
        main=child.pid,
        directory=directory,
        listener=listener,
        channel=channel,
        stdin=stdin_write,
        cgroup=record["cgroup"],
    )
    failure = child.release()
    if failure is not None:
        keeper.launch_error = failure
        return keeper
    keeper.tell({"launched": record})
    return keeper


def _process_record(spec: dict[str, Any], child: HeldChild) -> dict[str, Any]:
    cgroup = spec.get("cgroup")
    if cgroup is not None:
        try:
            procs = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(procs, str(child.pid).encode())
            finally:
                os.close(procs)
        except OSError:
            cgroup = None
    main, own = read_stat(child.pid), read_stat(os.getpid())
    return {
        "run_id": spec["run_id"],
        "attempt": spec["attempt"],
        "boot_id": boot_id(),
        "shim": {"pid": os.getpid(), "start_time": own.start_time if own else 0},
        "main": {"pid": child.pid, "start_time": main.start_time if main else 0},
        "session_id": child.pid,
        "cgroup": cgroup,
        "mechanism": "cgroup" if cgroup else "subreaper",
        "spawned_at": _now(),
        "spawned_monotonic": time.monotonic(),
        "forks": fork_count(),
    }


def _listen(directory: int) -> socket.socket:
    """A socket inside the run directory, reached through its descriptor: a socket's path may have 107 bytes only."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET_NAME, dir_fd=directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        listener.listen(CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _answer(channel: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        channel.sendall(json.dumps(message).encode() + b"\n")


def _leave_trace(directory: int) -> None:
    import traceback  # noqa: PLC0415 - large, and needed in a shim that failed only

    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        trace = os.open("shim.log", flags, 0o600, dir_fd=directory)
        os.write(trace, f"{_now()} {traceback.format_exc()}".encode())


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}Z"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


class Connection:
    """One agent at the other end. What cannot be sent is kept up to a bound; past it the connection is dropped."""

    def __init__(self, peer: socket.socket) -> None:
        """Take the socket over; it must not block."""
        peer.setblocking(False)
        self.peer = peer
        self.received = bytearray()
        self.unsent = bytearray()

    def send(self, message: dict[str, Any]) -> bool:
        """Send or keep; False when the connection is of no more use."""
        self.unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        return self.flush() and len(self.unsent) <= SEND_BYTES

    def flush(self) -> bool:
        """Send what is kept, as far as it goes without waiting."""
        try:
            while self.unsent:
                del self.unsent[: self.peer.send(self.unsent)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """The whole requests that came; ``None`` when the other end is gone or talks nonsense."""
        try:
            chunk = self.peer.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self.received += chunk
        *lines, rest = self.received.split(b"\n")
        self.received = rest
        if not chunk or len(rest) > RECEIVE_BYTES:
            return None
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            return None


class Keeper:
    """The loop: it only waits, reaps, records and answers."""

    def __init__(
        self,
        *,
        main: int,
        directory: int,
        listener: socket.socket | None,
        channel: socket.socket,
        stdin: int,
        cgroup: str | None,
    ) -> None:
        """Take over the forked main process, the run directory and the first connection."""
        self.launch_error: dict[str, Any] | None = None
        self._main = main
        self._directory = directory
        self._listener = listener
        self._stdin: int | None = stdin
        self._cgroup = cgroup
        self._exit: dict[str, Any] | None = None
        self._empty = False
        self._unused_reserves = list(_RESERVES)
        self._recorded: dict[str, Any] | None = None
        self._record_tries = 0
        self._reaped: deque[tuple[int, int | None, str | None]] = deque(maxlen=REAPED_KEPT)
        self._connections = {channel.fileno(): Connection(channel)}
        self._poll = select.poll()
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

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
                    self._exit["empty_at"] = _now()
                return
            if pid == 0:
                return
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            name = _signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
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
                    "exited_at": _now(),
                }
                if self.launch_error is not None:
                    self._exit["launch_error"] = self.launch_error

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
