"""One trial: a manager is told to stop a tree, or dies itself; then the kernel is asked what is alive."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.manager import LIMIT_SECONDS, Manager, alive, end_all, wait_until_it_stands
from tests.torture.shapes import SHAPES, Shape

CRASHED = "*its manager is killed -9 and started again*"
SETTLE_SECONDS = 1.0
"""So long after the manager has said that it is stopped, what is dying has died."""


@dataclass(frozen=True)
class Seen:
    """``held``: nothing was left alive, or nothing was lost. ``text``: for the table."""

    held: bool
    text: str

    def __str__(self) -> str:
        return self.text if self.held else f"**{self.text}**"


def stopped(manager: Manager, shape: Shape, number: int) -> Seen:
    """Start this tree, stop it, and count what is alive when the manager has said that it is stopped."""
    token = _token(manager, number)
    try:
        output = manager.start(shape.argv(token))
        wait_until_it_stands(output, shape, token)
        said = manager.stop()
        time.sleep(SETTLE_SECONDS)
        left = alive(token)
    finally:
        end_all(token)
    return Seen(not left, f"{len(left)} alive, “{said}”" if left else f"gone, “{said}”")


def crashed(manager: Manager) -> Seen:
    """The manager dies while its program runs: is it there once, and does the manager know it?"""
    token = _token(manager, 99)
    shape = SHAPES[0]
    try:
        output = manager.start(shape.argv(token))
        wait_until_it_stands(output, shape, token)
        (before,) = alive(token)
        manager.crash()
        time.sleep(SETTLE_SECONDS)
        there, known = alive(token), _known(manager)
    finally:
        manager.stop()
        end_all(token)
    if len(there) > 1:
        return Seen(False, f"runs {len(there)} times")
    if before not in there:
        return Seen(False, "another one runs" if there else "ended")
    return Seen(
        before in known, "runs on, and is adopted" if before in known else "runs on, and is forgotten"
    )


def _known(manager: Manager) -> set[int]:
    until = time.monotonic() + LIMIT_SECONDS
    while not (known := manager.pids()) and time.monotonic() < until:
        time.sleep(0.1)
    return known


def _token(manager: Manager, number: int) -> str:
    """A length of sleep that nobody else sleeps."""
    return f"31536000.{abs(hash((manager.name, str(Path.cwd())))) % 10**6:06d}{number:03d}"
