"""What a contender can be asked, and the one program that all of them run.

The program writes a byte into a FIFO as its first act and becomes ``sleep`` with the next: the byte is its first
instruction, and what is killed later is a process that knows nothing of signals.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

Method = Literal["graceful", "force"]

SLEEPER = 'echo > "$0"; exec sleep 600'
"""Tells that it runs, then sleeps until it is killed."""
VISITOR = 'echo > "$0"'
"""Tells that it runs, and is gone."""


def argv(script: str, fifo: Path) -> list[str]:
    """The program as every contender is given it."""
    return ["/bin/sh", "-c", script, str(fifo)]


class Contender(Protocol):
    """Starts and ends one sleeper at a time. A context manager; everything it started is gone at its end."""

    name: str
    version: str
    fifo: Path

    def call(self) -> None:
        """The cheapest request there is, answered."""

    def start(self, method: Method) -> None:
        """Ask for a sleeper that is going to be ended by ``method``; returns with the answer."""

    def pid(self) -> int:
        """The sleeper's pid, once the contender knows it."""

    def kill(self) -> None:
        """End the sleeper; returns when the answer says that it is gone."""

    def restart(self) -> None:
        """End the sleeper and start it again; returns with the (last) answer."""

    def start_many(self, count: int) -> None:
        """Ask for so many visitors, as fast as it goes; returns when all are asked for."""

    def close(self) -> None:
        """Stop, and leave nothing behind."""


def quoted(arguments: Sequence[str]) -> str:
    """An argv for a configuration file that splits like a shell."""
    return " ".join("'" + argument.replace("'", "'\\''") + "'" for argument in arguments)
