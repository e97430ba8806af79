"""The resident keeper of one attempt: has its main process started, reaps everything, records the ending.

Rules:

- It outlives the agent and is disturbed by none: it never relays output and needs no one to listen.
- It is the child subreaper, so every orphan of the tree becomes its child: no children left means all gone.
- ``process.json`` is on disk before the program runs; ``exit.json`` before this process ends.
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
from agent.process.kernel import iso_now
from agent.process.reaper import CONNECTIONS, SOCKET_NAME, Reaper

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
            reaper = _have_started(channel, directory)
            if reaper is not None:
                reaper.keep()
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


def _have_started(channel: socket.socket, directory: int) -> "Reaper | None":
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
    reaper = Reaper(
        main=started["main"],
        launch_error=started["launch_error"],
        cgroup=started["cgroup"],
        directory=directory,
        listener=listener,
        channel=channel,
        stdin=stdin_write,
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
