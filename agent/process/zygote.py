"""The small preloaded parent of all shims: it keeps a few forked that have no attempt yet, and forks more as they go.

Rules: it knows nothing of runs; it reaps its shims; it ends when the agent's end of the socket closes, and so do the
shims without an attempt; the others do not notice. What all shims have in common is set up here, once. Shims are forked
while nothing is asked for, so that no launch waits for a fork. Started by the launcher as ``python -m
agent.process.zygote FD``. Standard library alone.
"""

import contextlib
import errno
import gc
import json
import os
import resource  # noqa: F401 - wait4 imports it when it is first used, which is in every shim
import select
import signal
import socket
import sys

from agent.process import shim
from agent.process.handover import take
from agent.process.kernel import read_stat

SPARES = 2
"""Shims without an attempt: each costs less than a megabyte."""
QUIET_MILLISECONDS = 30
"""Spares are forked when nothing was asked for so long: a launch under way has the machine for itself."""
RETRY_MILLISECONDS = 1000
"""How long it is left alone where the machine allows no more processes."""
_IGNORED = ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTSTP")


def main(descriptor: int) -> None:
    """Serve the SEQPACKET socket ``descriptor`` until its other end is closed."""
    os.set_inheritable(descriptor, False)
    requests = socket.socket(fileno=descriptor)
    for name in _IGNORED:
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    wake = _wake_on_child()
    os.umask(0o077)
    title_memory = _title_memory()
    json.loads(json.dumps({"warm": [1, None]}))
    # What is there now is never traced again: its pages stay shared with every shim.
    gc.collect()
    gc.freeze()
    _Spares(requests, title_memory).keep(wake)


class _Spares:
    """The shims that have no attempt yet: one of those that wait takes each request."""

    def __init__(self, requests: socket.socket, title_memory: tuple[int, int]) -> None:
        self._requests = requests
        self._title_memory = title_memory
        self._waiting: set[int] = set()
        self._taken, self._taken_write = os.pipe()
        os.set_blocking(self._taken, False)

    def keep(self, wake: int) -> None:
        """Until the agent's end of the socket closes."""
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._taken, select.POLLIN)
        pause = QUIET_MILLISECONDS if self._fill() else RETRY_MILLISECONDS
        while True:
            # With nobody else to take it, a request is for us to have somebody forked for.
            poll.register(self._requests, 0 if self._waiting else select.POLLIN)
            ready = poll.poll(pause if len(self._waiting) < SPARES else None)
            if not ready:
                pause = QUIET_MILLISECONDS if self._fill() else RETRY_MILLISECONDS
            for descriptor, events in ready:
                if descriptor == wake:
                    self._reap(wake)
                elif descriptor == self._taken:
                    self._note_taken()
                elif events & select.POLLHUP:
                    return
                elif not self._fork():
                    self._refuse()

    def _fill(self) -> bool:
        while len(self._waiting) < SPARES:
            if not self._fork():
                return False
        return True

    def _fork(self) -> bool:
        """One more; False when the machine does not allow it."""
        try:
            pid = os.fork()
        except OSError:
            return False
        if pid == 0:
            signal.set_wakeup_fd(-1)
            shim.run(self._requests, self._taken_write, self._title_memory)
        self._waiting.add(pid)
        return True

    def _note_taken(self) -> None:
        self._waiting -= {int(pid) for pid in os.read(self._taken, 4096).split()}

    def _reap(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._waiting.discard(pid)

    def _refuse(self) -> None:
        """Answer in the place of a shim that cannot be forked."""
        request = take(self._requests)
        if request is not None:
            report = {"launch_error": {"errno": errno.EAGAIN, "where": "fork"}}
            with contextlib.suppress(OSError):
                request.channel.sendall(json.dumps(report).encode() + b"\n")
            request.channel.close()


def _wake_on_child() -> int:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    return wake_read


def _title_memory() -> tuple[int, int]:
    """Where the kernel reads the command line, and how much room there is."""
    stat = read_stat(os.getpid())
    return (stat.arg_start, stat.arg_end - stat.arg_start) if stat else (0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
