"""The resident keeper of one attempt: has its main process started, reaps everything, records the ending.

Rules:

- It outlives the agent and is disturbed by none: it never relays output and needs no one to listen.
- It is the child subreaper, so every orphan of the tree becomes its child: no children left means all gone.
- ``process.json`` is on disk before the program runs; ``exit.json`` before this process ends.
- It is forked before it has an attempt, and waits for one; when the agent wants no more, it ends.
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
import socket
from typing import NoReturn

from agent.process import starter
from agent.process.handover import take
from agent.process.kernel import iso_now
from agent.process.reaper import CONNECTIONS, SOCKET_NAME, Reaper

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_REPORT_BYTES = 64 << 10
_WAITING = b"rp-shim: waits for a run"
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(requests: socket.socket, taken: int, title_memory: tuple[int, int]) -> NoReturn:
    """Be the shim of the next attempt that is asked for over ``requests``. For a fresh fork; never returns.

    ``taken`` is told this pid when the attempt is this one's. ``title_memory``: where the kernel reads this process's
    command line, and how much room there is.
    """
    status = 1
    try:
        _detach(requests.fileno(), taken)
        _show(_WAITING, title_memory)
        starter, stdin, report = _fork_starter(requests, taken)
        request = take(report)
        if request is not None:
            _show(request.title, title_memory)
            directory = os.open(request.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                reaper = _await_start(starter, report, request.channel, directory, stdin)
                if reaper is not None:
                    reaper.keep()
            except BaseException:  # noqa: BLE001 - nobody above: what went wrong is left where it can be found
                _leave_trace(directory)
            else:
                status = 0
    finally:
        os._exit(status)


def _detach(*kept: int) -> None:
    os.setsid()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NAME, b"rp-shim", 0, 0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, max(os.sysconf("SC_OPEN_MAX"), first + 1))


def _show(title: bytes, title_memory: tuple[int, int]) -> None:
    """`ps` is to show the run, and not the command line of the zygote."""
    start, room = title_memory
    if room > 1:
        ctypes.memmove(start, title[: room - 1].ljust(room, b"\0"), room)


def _fork_starter(requests: socket.socket, taken: int) -> tuple[int, int, socket.socket]:
    """``(its pid, the main process's standard input, where it reports)``. Nobody else keeps the requests open."""
    stdin_read, stdin_write = os.pipe()
    report, its_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    shim = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(stdin_write)
        report.close()
        starter.run(requests, taken, stdin=stdin_read, report=its_report, shim=shim)
    for descriptor in (stdin_read, taken):
        os.close(descriptor)
    its_report.close()
    requests.close()
    return child, stdin_write, report


def _await_start(
    child: int, report: socket.socket, channel: socket.socket, directory: int, stdin: int
) -> "Reaper | None":
    """The main process becomes ours when the starter ends. ``None``: nothing was started."""
    reported = b""
    while chunk := report.recv(_REPORT_BYTES):
        reported += chunk
    report.close()
    os.waitpid(child, 0)
    if not reported:
        return None
    head, _, answer = reported.partition(b"\n")
    started = json.loads(head)
    listener = None
    # A file system without sockets costs reconnection after an agent's restart, not the run.
    with contextlib.suppress(OSError):
        listener = _listen(directory)
    reaper = Reaper(
        main=started["main"],
        launch_error=started["launch_error"],
        cgroup=started["cgroup"],
        limits=started["limits"],
        lease=started.get("lease"),
        directory=directory,
        listener=listener,
        channel=channel,
        stdin=stdin,
    )
    reaper.pass_on(answer)
    return reaper


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
