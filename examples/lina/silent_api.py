"""A server that accepts every connection and never answers: prints its port, then goes on as a daemon.

It does what makes processes hard to end: it forks twice and starts a session, so that it belongs to nobody, and it
ignores SIGTERM. Left to itself it ends after an hour.
"""

import os
import signal
import socket
import time

LIFETIME_SECONDS = 3600.0


def main() -> None:
    """Listen, say where, become a daemon, hold connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    become_a_daemon()
    hold_connections(listener)


def become_a_daemon() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def hold_connections(listener: socket.socket) -> None:
    end = time.monotonic() + LIFETIME_SECONDS
    held = []
    while (left := end - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            held.append(listener.accept())
        except TimeoutError:
            return


if __name__ == "__main__":
    main()
