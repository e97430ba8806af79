"""The resident loop of a shim: it only waits, reaps, records and answers.

Rules: an agent that listens is told at once what the kernel said, and keeps it in its own journal before it tells
anybody; ``exit.json`` is for whoever comes later, and is written meanwhile. No agent, and any number of them one after
the other, makes no difference; it is over when the main process has ended, no child is left, and both are recorded.
The room for the records was set aside at the launch, so a full disk does not lose an ending. Standard library alone.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections import deque
from typing import Any

from agent.process.dead_man import DeadMan
from agent.process.durable import use_reserve
from agent.process.kernel import iso_now, signal_name
from agent.process.limit_events import reached
from agent.process.shim_connection import Connection
from agent.process.starter import reserves

SOCKET_NAME = "shim.sock"
REAPED_KEPT = 4096
REAPED_WITH_GONE = 512
CONNECTIONS = 8
RECORD_RETRIES = 3600
FLUSH_SECONDS = 2.0


class Reaper:
    """Of one attempt."""

    def __init__(
        self,
        *,
        main: int,
        launch_error: dict[str, Any] | None,
        cgroup: str | None,
        limits: dict[str, str],
        lease: dict[str, Any] | None,
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
        self._limits = limits
        self._dead_man = DeadMan(lease, main, cgroup) if lease is not None else None
        self._exit: dict[str, Any] | None = None
        self._empty = False
        self._unused_reserves = reserves(os.getpid())
        self._announced: dict[str, Any] | None = None
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
            self._announce()
            self._record()
            settled = self._recorded == self._exit or self._record_tries > RECORD_RETRIES
            if self._empty and settled:
                break
            self._watch()
            # Only a record that the disk refused, or a lease, makes this loop wake by time.
            waits = [] if settled else [1000]
            if self._dead_man is not None and not self._empty:
                waits.append(self._dead_man.look(is_attended=bool(self._connections)))
            for descriptor, _ in self._poll.poll(min(waits, default=None)):
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
                    self._exit["limits_reached"] = self._reached()
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
                    "limits_reached": self._reached(),
                }
                if self._launch_error is not None:
                    self._exit["launch_error"] = self._launch_error

    def _reached(self) -> list[str]:
        lease = ["lease"] if self._dead_man is not None and self._dead_man.over else []
        return [*reached(self._limits), *lease]

    def _announce(self) -> None:
        """Say what is new: that main has ended and how, that nobody is left."""
        if self._exit is None or self._announced == self._exit:
            return
        self._announced = dict(self._exit)
        self.tell({"event": "exit", "exit": self._announced})
        if self._empty:
            self.tell({"event": "gone", "reaped": list(self._reaped)[-REAPED_WITH_GONE:]})

    def _record(self) -> None:
        if self._exit is None or self._recorded == self._exit:
            return
        self._record_tries += 1
        exit_ = dict(self._exit)
        try:
            reserved = self._unused_reserves[0] if self._unused_reserves else ".exit.fresh"
            use_reserve(self._directory, reserved, "exit.json", json.dumps(exit_).encode())
            del self._unused_reserves[:1]
            self._recorded = exit_
            self._record_tries = 0
        except OSError:
            # A full disk may have room later; a directory that was removed will not come back.
            if os.fstat(self._directory).st_nlink == 0:
                self._record_tries = RECORD_RETRIES + 1

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
                answer |= {"main": self._main, "exit": self._exit, "children_left": self._has_children()}
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
        places = {*self._limits.values(), *filter(None, [self._cgroup])}
        _remove_empty(places)
        # An agent that listens removes the places above these itself, when no attempt is left; one that does not may
        # have tried already, before these were gone.
        if not any(connection.is_open() for connection in self._connections.values()):
            above = {os.path.dirname(place) for place in places}  # noqa: PTH120 - pathlib is memory in every shim
            _remove_empty(above)
            _remove_empty({os.path.dirname(place) for place in above})  # noqa: PTH120 - as above
        for name in (SOCKET_NAME, *self._unused_reserves):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
        until = time.monotonic() + FLUSH_SECONDS
        for connection in self._connections.values():
            while connection.unsent and (left := until - time.monotonic()) > 0:
                select.select([], [connection.peer], [], left)
                if not connection.flush():
                    break


def _remove_empty(places: set[str]) -> None:
    for place in places:
        with contextlib.suppress(OSError):
            os.rmdir(place)  # noqa: PTH106 - pathlib is memory in every shim
