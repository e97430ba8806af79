"""Pauses one live attempt by order, and lets it go on. Made by its attendance, called by the keeper under its lock.

Rules: that a run is paused is told only once every process of it stands still, and what cannot be held goes on and is
said so. That it goes on is on disk before it does. Whoever takes the attempt up finds it held, or lets it go on,
as the story says.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from agent.boundaries import Boundaries
from agent.lines import Lines
from agent.process.run_directory import RunDirectory
from agent.process.tree import AttemptProcess
from agent.story import Story
from runplane.contract.commands import PauseRun, SetBreakpoints
from runplane.contract.debugging import LOCALS
from runplane.contract.events import (
    BreakpointsSet,
    CommandRejected,
    OutcomeOverridden,
    RunContinued,
    RunPaused,
    VariablesSet,
)
from runplane.contract.run import Status
from runplane.contract.value import Value

log = logging.getLogger("agent.holding")

_MOST_NAMED = 5


class Holding:
    """Of one attempt. ``moving`` is set while it is not held."""

    def __init__(
        self,
        story: Story,
        process: AttemptProcess,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        lines: Callable[[asyncio.Event], Lines],
    ) -> None:
        """Nothing is touched before an order or :meth:`take_up`."""
        self._story = story
        self._process = process
        self.moving = asyncio.Event()
        self.lines = lines(self.moving)
        self.boundaries = Boundaries(story, RunDirectory(process.directory), self.moving, spawn=spawn)
        if story.state.status is not Status.PAUSED:
            self.moving.set()

    async def made_true(self, decision: Sequence[Value]) -> tuple[Value, ...]:
        """The decided facts as they can be told: the tree is held now, or there is a refusal that says why not."""
        return tuple([await self._made_true(fact) for fact in decision])

    def carry_out(self, fact: Value) -> None:
        """Begin what a fact on disk says."""
        match fact:
            case RunContinued():
                self.boundaries.go_on()
                self.release()
                self.lines.look_again()
            case OutcomeOverridden() if fact.detached:
                # It lives on by itself, and there is nobody any more who could let it go on.
                self.boundaries.let_all_go()
                self.release()
                self.lines.let_go()
            case BreakpointsSet():
                self.boundaries.write()
                self.lines.are_set()
            case VariablesSet():
                self.boundaries.write()
            case _:
                pass

    def release(self) -> None:
        """Let the tree go on."""
        self._process.standstill.release()
        self.moving.set()

    async def take_up(self) -> None:
        """What a former agent held stays held; what it was about to hold, or let go on, goes on."""
        run = self._story.state.run
        standstill = self._process.standstill
        if run is None or self._process.gone.is_set():
            return
        self.boundaries.write()
        if run.status is Status.RUNNING and standstill.is_noted:
            self.release()
        elif run.status is Status.PAUSED and (run.held is None or run.held.at is None):
            seconds = standstill.held_seconds()
            if await self._in_the_way():
                log.warning("%s could not be held any longer, and goes on", self._story.run_id)
                await self._story.tell(self._story.fact(RunContinued(held_seconds=round(seconds, 3))))
                self.moving.set()

    async def _made_true(self, fact: Value) -> Value:
        if isinstance(fact, RunContinued):
            seconds = self._process.standstill.held_seconds() or self.boundaries.held_seconds()
            return fact.model_copy(update={"held_seconds": round(seconds, 3)})
        if isinstance(fact, BreakpointsSet):
            return await self._set(fact)
        if isinstance(fact, VariablesSet):
            return await self.lines.requests.set_variables(fact) if fact.scope == LOCALS else fact
        if not isinstance(fact, RunPaused):
            return fact
        at_a_line = await self.lines.pause(fact)
        if at_a_line is not None:
            self.moving.clear()
            return at_a_line
        why = await self._in_the_way()
        if why is not None:
            return CommandRejected(
                command=PauseRun.__name__,
                code="not_held",
                message=f"{self._story.run_id} could not be paused and goes on: {why}. Look at it with "
                f"runplane diagnose {self._story.run_id}, or end it with runplane kill {self._story.run_id}",
            )
        self.moving.clear()
        return fact.model_copy(update={"processes": len(self._process.members())})

    async def _set(self, fact: BreakpointsSet) -> Value:
        """The debugger has those at lines before they are told."""
        problem = await self.lines.set_breakpoints(fact.breakpoints)
        if problem is None:
            return fact
        return CommandRejected(
            command=SetBreakpoints.__name__, code=problem.error_code, message=problem.message
        )

    async def _in_the_way(self) -> str | None:
        """Hold the tree; None where it stands still, else why it does not."""
        try:
            moving = await self._process.standstill.hold()
        except OSError as error:
            return f"its run directory takes no note of it ({error.strerror})"
        if moving:
            named = ", ".join(f"{facts.pid} ({facts.cmdline[:60]})" for facts in moving[:_MOST_NAMED])
            return f"these of its processes did not stand still in time: {named}"
        if not self._process.members():
            self._process.standstill.release()
            return "none of its processes is alive"
        return None
