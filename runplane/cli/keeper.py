"""Keeps one part running: starts it again whenever it dies, at once the first time, then ever more slowly.

A part that lived ``STEADY`` seconds has a clean slate. The loop ends when it is told to stop, and not before: nobody is
there at 3 a.m. to type it again.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runplane.cli.child import Child, describe
from runplane.cli.part_log import bound, last_lines, open_to_append
from runplane.cli.problem import Problem

STEADY = 5.0
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """What to run. ``argv`` and ``env`` are asked at every start, since a port may have changed."""

    name: str
    argv: Callable[[], list[str]]
    env: Callable[[], Mapping[str, str]]
    log: Path
    stop_within: float


def delay_before_restart(quick_deaths: int) -> float:
    """Seconds to wait, given how many times in a row the part died young (this time included)."""
    if quick_deaths <= 1:
        return 0.0
    return min(FIRST_DELAY * 2.0 ** (min(quick_deaths, 32) - 2), LONGEST_DELAY)


class Keeper:
    """Runs one part. ``say`` tells the operator; ``changed`` is called whenever the pid is another."""

    def __init__(self, part: Part, *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        """Nothing is started before ``run``."""
        self.part = part
        self.quick_deaths = 0
        self._say = say
        self._changed = changed
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The pid of the part, None while it is down."""
        return self._child.pid if self._child is not None else None

    def last_words(self) -> list[str]:
        """What the part printed last since it was started."""
        return last_lines(self.part.log, since=self._log_start)

    async def run(self) -> None:
        """Until ``stop`` was called."""
        while not self._stopping.is_set():
            born = time.monotonic()
            ending = await self._one_life()
            if self._stopping.is_set():
                return
            steady = time.monotonic() - born >= STEADY
            self.quick_deaths = 0 if steady else self.quick_deaths + 1
            delay = delay_before_restart(self.quick_deaths)
            self._tell(ending, delay)
            await self._pause(delay)

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the part for good: SIGTERM, and SIGKILL after its limit or on ``hurry``."""
        self._stopping.set()
        if self._child is not None and not await self._child.stop(limit=self.part.stop_within, hurry=hurry):
            self._say(f"{self.part.name} did not stop within {self.part.stop_within:g} s and was killed")

    async def start_again(self, hurry: asyncio.Event) -> None:
        """End the part so that it is started anew with what ``argv`` and ``env`` then say."""
        if self._child is not None:
            await self._child.stop(limit=self.part.stop_within, hurry=hurry)

    async def _one_life(self) -> str:
        try:
            self._child = self._start()
        except (OSError, Problem) as error:
            return f"could not be started: {error}"
        self._changed()
        code = await self._child.wait()
        self._child = None
        return f"ended with {describe(code)}"

    def _start(self) -> Child:
        bound(self.part.log)
        output = open_to_append(self.part.log)
        try:
            self._log_start = os.fstat(output).st_size
            return Child(self.part.argv(), env=self.part.env(), output=output)
        finally:
            os.close(output)

    def _tell(self, ending: str, delay: float) -> None:
        when = "starting it again" if delay == 0 else f"starting it again in {delay:g} s"
        said = "".join(f"\n    {line}" for line in self.last_words())
        self._say(f"{self.part.name} {ending}; {when}. Its last lines ({self.part.log}):{said}")

    async def _pause(self, delay: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)
