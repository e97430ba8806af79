"""Waiting for the death of processes: by pidfd, woken by the kernel, never by time.

A pidfd becomes readable when its process has ended, reaped or not.
"""

import asyncio
import os
import select
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from agent.process.identity import ProcessIdentity, open_pidfd


class Pidfds:
    """A set of open processes, by identity. Closes what it opened; a context manager."""

    def __init__(self) -> None:
        """Empty; see ``add``."""
        self._open: dict[ProcessIdentity, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def add(self, identity: ProcessIdentity) -> int | None:
        """The pidfd of the process, opened once; ``None`` when it is gone."""
        if identity not in self._open:
            pidfd = open_pidfd(identity)
            if pidfd is None:
                return None
            self._open[identity] = pidfd
        return self._open[identity]

    def get(self, identity: ProcessIdentity) -> int | None:
        """The pidfd of a process that was added."""
        return self._open.get(identity)

    def __len__(self) -> int:
        return len(self._open)

    async def wait_all(self, limit: float | None) -> bool:
        """Wait until all have ended, at most ``limit`` seconds (``None``: the caller bounds it)."""
        return await wait_ended(self._open.values(), limit)

    def close(self) -> None:
        """Close every descriptor."""
        for pidfd in self._open.values():
            os.close(pidfd)
        self._open.clear()


async def wait_ended(pidfds: Iterable[int], limit: float | None) -> bool:
    """Wait until all these processes have ended; False when ``limit`` seconds were over first."""
    left = set(pidfds)
    watch = select.epoll()
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    try:
        for pidfd in left:
            watch.register(pidfd, select.EPOLLIN)
        loop.add_reader(watch.fileno(), woken.set)
        async with asyncio.timeout(limit):
            while left:
                for pidfd, _ in watch.poll(0, max(1, len(left))):
                    watch.unregister(pidfd)
                    left.discard(pidfd)
                if left:
                    woken.clear()
                    await woken.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(watch.fileno())
        watch.close()
    return True
