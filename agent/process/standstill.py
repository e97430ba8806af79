"""Holds a whole process tree still, and lets it go on: for programs that know nothing of being paused.

Called by the agent's holding, through the attempt's process. Rules: the tree stands still only when the kernel says so
of every member; where it does not within the limit, everything goes on and the members in the way are named. A cgroup
that holds members is frozen, without their notice; the others are stopped by SIGSTOP, and swept until no new one is
found. A note in the run directory says since when, by a clock that goes on with nobody there and that nobody sets.
"""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from agent.process.census import Census
from agent.process.cgroup import Cgroup
from agent.process.identity import send_signal
from agent.process.kernel import read_stat
from agent.process.pidfds import Pidfds
from agent.process.records import ProcessFacts

LIMIT_SECONDS = 2.0
_LOOK_SECONDS = 0.002
_PASSES = 16
_LOOKS_BEFORE_A_STRIDE = 10
_STOPPED = frozenset({"T", "t", "Z", "X"})


class Standstill:
    """Of one attempt's tree. ``note``: the file in which it stands since when the tree is held."""

    def __init__(self, census: Census, group: Cgroup | None, note: Path) -> None:
        """Nothing is touched before :meth:`hold` or :meth:`release`."""
        self._census = census
        self._group = group
        self._note = note

    @property
    def is_noted(self) -> bool:
        """Whether the tree is held, or was about to be."""
        return self._note.exists()

    def held_seconds(self) -> float:
        """For how long it has been held; 0 where it is not."""
        try:
            since = float(json.loads(self._note.read_bytes())["since_boot_seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0
        return max(0.0, _boot_clock() - since)

    async def hold(self) -> list[ProcessFacts]:
        """Have every member stand still, and return those that do not: then nothing is held.

        OSError: there is no room to note it, and nothing was touched.
        """
        if not self.is_noted:
            try:
                self._note.write_text(json.dumps({"since_boot_seconds": _boot_clock()}))
            except OSError:
                with contextlib.suppress(OSError):
                    self._note.unlink()  # an empty one would hide for how long a later pause held
                raise
        deadline = time.monotonic() + LIMIT_SECONDS
        looks = 0
        while moving := self._stop_and_look():
            if time.monotonic() > deadline:
                self.release()
                return moving
            looks += 1
            if looks % _LOOKS_BEFORE_A_STRIDE == 0:
                # Who has vforked waits, unstoppable, for a child stopped before it ran its program: let it.
                self._signal(self._outside(self._group), signal.SIGCONT)
            await asyncio.sleep(_LOOK_SECONDS)
        return []

    def release(self) -> float:
        """Have every member go on; for how many seconds they were held."""
        seconds = self.held_seconds()
        if self._group is not None:
            self._group.thaw()
        members = self._census.members()
        self._signal((facts for facts in members if facts.pid not in self._census.in_cgroup), signal.SIGCONT)
        with contextlib.suppress(OSError):
            self._note.unlink()
        return seconds

    def _stop_and_look(self) -> list[ProcessFacts]:
        """One sweep; who moves after it.

        The cgroup comes first: only once it stands still is it certain who is in it. One that was forked in it
        meanwhile would be taken for an outsider, be stopped by a signal, and stay stopped when the cgroup goes on.
        """
        group = self._group if self._group is not None and self._group.freeze() else None
        if group is not None and not group.stands_still():
            inside = group.members()
            moving = [facts for facts in self._census.members() if facts.pid in inside]
            if moving:
                return moving
        seen: set[tuple[int, int]] = set()
        for _ in range(_PASSES):
            outside = self._outside(group)
            new = [facts for facts in outside if (facts.pid, facts.start_time) not in seen]
            if not new:
                break
            self._signal(new, signal.SIGSTOP)
            seen |= {(facts.pid, facts.start_time) for facts in new}
        return [facts for facts in self._outside(group) if not _is_stopped(facts)]

    def _outside(self, group: Cgroup | None) -> list[ProcessFacts]:
        """The members that the frozen cgroup does not hold; all of them where there is none."""
        members = self._census.members()
        held = self._census.in_cgroup if group is not None else frozenset()
        return [facts for facts in members if facts.pid not in held]

    def _signal(self, members: Iterable[ProcessFacts], number: int) -> None:
        with Pidfds() as pidfds:
            for facts in members:
                pidfd = pidfds.add(self._census.identity(facts))
                if pidfd is not None:
                    with contextlib.suppress(PermissionError):
                        send_signal(pidfd, number)


def _is_stopped(facts: ProcessFacts) -> bool:
    stat = read_stat(facts.pid)
    return stat is None or stat.start_time != facts.start_time or stat.state in _STOPPED


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
