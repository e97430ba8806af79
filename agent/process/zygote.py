"""The small preloaded parent of all shims: for every message it forks one, and hands it the descriptor that came along.

Rules: it knows nothing of runs; it reaps its shims; it ends when the agent's end of the socket closes, and the shims
do not notice. What all shims have in common is set up here, once. Started by the launcher as
``python -m agent.process.zygote FD``. Standard library alone.

A message is ``title NUL directory`` with one descriptor: the socket over which the spec comes and the answer goes.
"""

import array
import contextlib
import gc
import json
import os
import resource  # noqa: F401 - wait4 imports it when it is first used, which is in every shim
import select
import signal
import socket
import sys

from agent.process import shim
from agent.process.kernel import read_stat

MESSAGE_BYTES = 8192
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
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                _reap()
            elif not _serve(requests, title_memory):
                return


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


def _serve(requests: socket.socket, title_memory: tuple[int, int]) -> bool:
    """Fork one shim; False when there will be no more requests."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    try:
        message, ancillary, _, _ = requests.recvmsg(MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return False
    if not message or not ancillary:
        return False
    channel = socket.socket(fileno=array.array("i", ancillary[0][2])[0])
    title, _, directory = message.partition(b"\0")
    try:
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            shim.run(channel, title, directory, title_memory)
    except OSError as error:
        report = {"launch_error": {"errno": error.errno, "where": "fork"}}
        with contextlib.suppress(OSError):
            channel.sendall(json.dumps(report).encode() + b"\n")
    finally:
        channel.close()
    return True


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
