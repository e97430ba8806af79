"""The small preloaded parent of all shims: for every message it forks one, and hands it the descriptor that came along.

Rules: it knows nothing of runs; it reaps its shims; it ends when the agent's end of the socket closes, and the shims
do not notice. Started by the launcher as ``python -m agent.process.zygote FD``. Standard library alone.
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


def main(descriptor: int) -> None:
    """Serve the SEQPACKET socket ``descriptor`` until its other end is closed."""
    os.set_inheritable(descriptor, False)
    requests = socket.socket(fileno=descriptor)
    wake = _wake_on_child()
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
            else:
                channel = _receive(requests)
                if channel is None:
                    return
                _fork_shim(channel)


def _wake_on_child() -> int:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    return wake_read


def _receive(requests: socket.socket) -> int | None:
    """The descriptor of one request; ``None`` when there will be no more."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    try:
        message, ancillary, _, _ = requests.recvmsg(64, room, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    if not message or not ancillary:
        return None
    return array.array("i", ancillary[0][2])[0]


def _fork_shim(descriptor: int) -> None:
    channel = socket.socket(fileno=descriptor)
    try:
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            shim.run(channel)
    except OSError as error:
        report = {"launch_error": {"errno": error.errno, "where": "fork"}}
        with contextlib.suppress(OSError):
            channel.sendall(json.dumps(report).encode() + b"\n")
    finally:
        channel.close()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
