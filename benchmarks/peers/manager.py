"""What a process manager is asked in the comparison, and how the truth of its answers is found."""

import os
import signal
import time
from pathlib import Path
from typing import Protocol

from tests.torture.shapes import Shape

GRACE_SECONDS = 1.0
"""Each is told to wait so long after SIGTERM before it sends SIGKILL, to whatever it sends it."""
LIMIT_SECONDS = 30.0


class PeerMissing(Exception):
    """The peer cannot be installed here: the comparison goes on without it."""


class Manager(Protocol):
    """Runs one program at a time. Everything it was left with is gone after ``close``."""

    name: str
    version: str

    def start(self, argv: tuple[str, ...]) -> Path:
        """Start it; the file that its standard output goes to."""

    def stop(self) -> str:
        """Stop it; what the manager says of it when it has answered."""

    def crash(self) -> None:
        """Kill -9 the process that watches the program, and have the manager started again as its manual says."""

    def pids(self) -> set[int]:
        """The programs that it says are running."""

    def close(self) -> None:
        """Stop the manager."""


def alive(token: str) -> set[int]:
    """Every process, zombies apart, with the token in its argv."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and token.encode() in (entry / "cmdline").read_bytes():
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                found |= {int(entry.name)} if state not in (b"Z", b"X") else set()
        except OSError:
            continue
    return found - {os.getpid()}


def end_all(token: str) -> None:
    """End what a manager has left alive: all of it stopped first, so that nobody starts another again."""
    until = time.monotonic() + LIMIT_SECONDS
    while there := alive(token):
        if time.monotonic() > until:
            raise AssertionError(f"{there} cannot be ended")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in there:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        time.sleep(0.01)


def wait_until_it_stands(output: Path, shape: Shape, token: str) -> None:
    """The program has said that it is ready, and has as many processes as it should."""
    until = time.monotonic() + LIMIT_SECONDS
    while not (output.exists() and b"ready" in output.read_bytes() and len(alive(token)) >= shape.processes):
        if time.monotonic() > until:
            raise AssertionError(
                f"{shape.name}: {len(alive(token))} processes and {output} after {LIMIT_SECONDS:g} s"
            )
        time.sleep(0.01)
