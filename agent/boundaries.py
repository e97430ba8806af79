"""Holds one live attempt where its workflow passes a boundary, and lets it go on. Made by its attendance.

The workflow stops by itself where control.json asks for it and says so in its reports; whether it stays is decided
here, by the folded story: it is told as ``RunPaused``, or let go on at once where no condition holds. Rules:
control.json is written from the story alone, so whoever takes the attempt up writes the same; a hold that was told as
one ends by an order only, whatever becomes of its breakpoint; one that nobody can judge yet (the tree is frozen, or
another is looked at) waits for its turn.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from agent.process.run_directory import RunDirectory
from agent.story import Story
from agent.watch.reports import Held, Report, Resumed
from runplane.conditions import ConditionError, holds
from runplane.contract.debugging import fitted, scope_of
from runplane.contract.events import RunPaused
from runplane.contract.run import Actor, Status
from runplane.core.debugging import asked_of, asks_anything
from runplane.stamp import now

log = logging.getLogger("agent.boundaries")

_AGAIN_SECONDS = 0.5
_MOST_BYTES = 128 << 10
_MOST_OPEN = 1_000


class Boundaries:
    """Of one attempt. ``moving`` is set while it is not held; ``spawn`` runs work beside it."""

    def __init__(
        self,
        story: Story,
        directory: RunDirectory,
        moving: asyncio.Event,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Nothing is read or written before the first call."""
        self._story = story
        self._directory = directory
        self._moving = moving
        self._spawn = spawn
        self._open: dict[str, Report] = {}
        self._released: set[str] = set()
        self._permits: int | None = None
        self._written: dict[str, Any] | None = None
        self._since: float | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the workflow may be waiting for an answer: then its reports are read as they come."""
        return bool(self._open) or asks_anything(asked_of(self._story.state))

    def held_seconds(self) -> float:
        """For how long it has been held at the boundary that was told; 0 where it is not."""
        run = self._story.state.run
        if run is None or run.held is None or run.held.at is None:
            return 0.0
        if self._since is None:  # a former agent told it
            gone = max(0.0, (now() - run.held.since).total_seconds())
            self._since = time.clock_gettime(time.CLOCK_BOOTTIME) - gone
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self._since

    def judged(self, reports: list[Report]) -> list[Report]:
        """The reports that are to be told as facts: a hold becomes one where it stays, else it is let go."""
        told = [report for report in reports if not self._took(report)]
        paused = self._judge()
        return [*told, paused] if paused is not None else told

    def told(self) -> None:
        """What :meth:`judged` gave back is on disk."""
        run = self._story.state.run
        if run is not None and run.held is not None and run.held.at is not None and self._moving.is_set():
            self._moving.clear()
            self._since = time.clock_gettime(time.CLOCK_BOOTTIME)
            self.write()

    def go_on(self) -> None:
        """The run was told to go on: so does what stays at the boundary that was told, before the next is judged."""
        self._since = None
        known = [name for name, report in self._open.items() if self._story.knows(report)]
        self._let_go(known)

    def let_all_go(self) -> None:
        """Nobody holds the run any more."""
        self._let_go(list(self._open))

    def write(self) -> None:
        """Have control.json say what the story says, if it does not yet."""
        asked = asked_of(self._story.state)
        if self._permits is None:
            self._permits = self._directory.read_permits()
            if self._permits is None:
                if not asks_anything(asked):
                    return
                self._permits = 0
        content = {**asked, "permits": self._permits, "released": sorted(self._released)}
        if content == self._written:
            return
        try:
            self._directory.write_control(content)
            self._written = content
        except OSError as error:
            log.warning("%s: its control.json waits: %s", self._story.run_id, error.strerror)
            self._spawn(self._write_again())

    def _took(self, report: Report) -> bool:
        """Whether the report is about a hold, which is taken note of."""
        fact = report.fact
        if isinstance(fact, Held):
            if len(self._open) < _MOST_OPEN:
                self._open[fact.name] = report
            else:
                self._released.add(fact.name)  # nobody could look at so many, and none may wait for ever
            return True
        if isinstance(fact, Resumed):
            self._open.pop(fact.name, None)
            self._released.discard(fact.name)
            return True
        return False

    def _judge(self) -> Report | None:
        run = self._story.state.run
        if run is None or run.status is not Status.RUNNING:
            self.write()
            return None
        waiting = {name: report for name, report in self._open.items() if name not in self._released}
        go_on = []
        for name, report in waiting.items():
            if self._story.knows(report):  # it was told to go on, and that never reached it
                go_on.append(name)
                continue
            assert isinstance(report.fact, Held)  # noqa: S101 — nothing else is taken note of
            wanted = self._wanted(report.fact)
            if wanted is not None:
                self._let_go(go_on)
                return _paused(report, report.fact, *wanted)
            go_on.append(name)
        self._let_go(go_on)
        return None

    def _wanted(self, held: Held) -> tuple[Actor | None, str] | None:
        """Who wants it to stay there, and why; None where nobody does."""
        debugging, run = self._story.state.debugging, self._story.state.run
        if debugging.until == "boundary":
            return debugging.until_by, "the next boundary"
        for point in run.breakpoints if run is not None else ():
            if point.location not in (held.at, "step:*"):
                continue
            if point.condition is None:
                return debugging.breakpoints_by or self._asker(), f"breakpoint {point.location}"
            why = f"breakpoint {point.location} if {point.condition}"
            try:
                if holds(point.condition, held.values()):
                    return debugging.breakpoints_by or self._asker(), why
            except ConditionError as error:
                return debugging.breakpoints_by or self._asker(), f"{why}: {error}"
        if held.explicit and self._story.spec.debug:
            return self._asker(), "a breakpoint of the workflow itself"
        return None

    def _asker(self) -> Actor | None:
        """Who asked for the run, and with it for its first breakpoints."""
        run = self._story.state.run
        return Actor(principal=run.requested_by, surface=run.requested_via) if run is not None else None

    def _let_go(self, names: list[str]) -> None:
        if any(not _has_name(self._open[name]) for name in names):
            if self._permits is None:
                self._permits = self._directory.read_permits() or 0
            self._permits += 1
        self._released |= set(names)
        self.write()

    async def _write_again(self) -> None:
        await asyncio.sleep(_AGAIN_SECONDS)
        self.write()


def _has_name(report: Report) -> bool:
    return isinstance(report.fact, Held) and report.fact.id is not None


def _paused(report: Report, held: Held, actor: Actor | None, reason: str) -> Report:
    scopes = tuple(scope_of(name, values) for name, values in held.scopes.items())
    fact = RunPaused(
        at=held.at,
        by=actor.principal if actor is not None else None,
        reason=reason,
        scopes=fitted(scopes, _MOST_BYTES),
    )
    return replace(report, fact=fact, actor=actor)
