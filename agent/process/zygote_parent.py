"""The launcher's hold on the zygote: start it, hand it requests, start another one when it died.

Rules: the zygote has a session of its own and a bare environment, since every shim inherits both and shows them to
whoever may read ``/proc``. A dead one is noticed by its pidfd, reaped, and replaced at the next request; its shims
go on. A request that could not be handed over has started nothing.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from agent.process.errors import LaunchError
from agent.process.handover import message_of, rights_of

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH")


class ZygoteParent:
    """One zygote at a time."""

    def __init__(self) -> None:
        """Nothing runs before ``start``."""
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._pidfd: int | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's pid while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it if it does not run; ``LaunchError`` (``no_resources``) when that is impossible."""
        if self._process is not None and self._process.poll() is not None:
            self._forget()
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            with theirs:
                # Not a line of the environment's own start-up code (-P, -S): the zygote stays as small as it can be.
                self._process = subprocess.Popen(  # an own session: a terminal's signals are not for it
                    [sys.executable, "-P", "-S", "-m", "agent.process.zygote", str(theirs.fileno())],
                    env=kept | {"PYTHONPATH": str(_PACKAGE_ROOT)},
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise LaunchError(
                kind="no_resources",
                field="zygote",
                value=str(error),
                message=f"the parent of all shims could not be started: {error}. See `runplane doctor` on this host.",
            ) from error
        ours.setblocking(False)
        self._requests = ours
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    async def fork_shim(self, channel: socket.socket, title: str, directory: Path, limit: float) -> None:
        """Have a shim hold ``channel``; TimeoutError or OSError when the request was not handed over."""
        message = message_of(title, directory)
        for _ in range(2):
            self.start()
            try:
                await self._hand_over(message, channel, limit)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._kill()
        raise BrokenPipeError

    async def _hand_over(self, message: bytes, channel: socket.socket, limit: float) -> None:
        requests = self._requests
        if requests is None:
            raise BrokenPipeError
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limit):
            while True:
                try:
                    requests.sendmsg([message], rights_of(channel))
                    return
                except BlockingIOError:
                    writable = asyncio.Event()
                    loop.add_writer(requests.fileno(), writable.set)
                    try:
                        await writable.wait()
                    finally:
                        loop.remove_writer(requests.fileno())

    def replace(self) -> None:
        """Give this one up: it does not answer. The next request starts another; the shims go on."""
        self._kill()

    async def close(self, limit: float) -> None:
        """Let it end, and reap it; killed when it does not end within ``limit`` seconds."""
        process = self._process
        if process is None:
            return
        if self._requests is not None:
            self._requests.close()
        ended = asyncio.Event()
        if self._pidfd is not None:
            asyncio.get_running_loop().add_reader(self._pidfd, ended.set)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), limit)
        self._kill()

    def _died(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._forget()

    def _kill(self) -> None:
        if self._process is not None:
            if self._pidfd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._requests is not None:
            self._requests.close()
        self._process = self._requests = self._pidfd = None
