"""Everything that goes on beside one live attempt: it is watched and diagnosed, its reports are told, its limits are
kept, its end is waited for. Made by the keeper when there is a process; it lives as long as the process does.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent.checkpoints import Checkpoints
from agent.diagnosing import Diagnosing
from agent.ending import Ending
from agent.environment import names_secrets, secrets_masked
from agent.hall import Hall
from agent.holding import Holding
from agent.lines import Lines
from agent.overrun import Overrun
from agent.process.run_directory import RunDirectory
from agent.process.tree import AttemptProcess
from agent.reporting import Reporting
from agent.story import Story
from agent.values import Values
from agent.watch.follow import follow_reports
from agent.watch.output_reports import output_reports
from agent.watch.redaction import also_redacted
from agent.watch.reports import ReportFile
from agent.watching import Watching
from agent.workspace import working_directory
from runplane.contract.commands import EvaluateExpression
from runplane.contract.envelope import Envelope
from runplane.contract.events import ConditionRaised, RunContinued
from runplane.contract.value import Value

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Attendance:
    """Of one live attempt. ``lock`` is the keeper's, ``spawn`` runs work beside it, ``finished`` is set with its end.

    ``tell_condition`` tells what was seen of the run and gives back what was told, or None. ``on_end`` is called once
    the end is on disk.
    """

    def __init__(
        self,
        hall: Hall,
        story: Story,
        process: AttemptProcess,
        lock: asyncio.Lock,
        finished: asyncio.Event,
        *,
        spawn: Spawn,
        tell_condition: Callable[[Value], Coroutine[Any, Any, Envelope | None]],
        on_end: Callable[[], None],
    ) -> None:
        """Nothing goes on before :meth:`begin`."""
        self._hall = hall
        self._story = story
        self._process = process
        self._lock = lock
        self._finished = finished
        self._spawn = spawn
        self._tell_condition = tell_condition
        hidden = secrets_masked(story.spec, hall.settings.secrets)
        mask = also_redacted(hidden)
        self._files: dict[Path, ReportFile] = {}
        path = process.directory / "reports.jsonl"
        self._files[path] = ReportFile(path)
        path = process.directory / "stdout.log"
        printed = output_reports(path, story.spec.output, story.spec.progress)
        if printed is not None:
            self._files[path] = printed
        self.watching = Watching(story, process, mask=mask, tell=lambda fact: spawn(self._tell(fact)))
        self.diagnosing = Diagnosing(hall, story, process, self.watching, lock, mask=mask, spawn=spawn)
        self.holding = Holding(
            story,
            process,
            spawn=spawn,
            lines=lambda moving: Lines(
                story,
                process,
                working_directory(story.spec.workspace, process.directory),
                lock,
                moving,
                finished=finished,
                spawn=spawn,
                mask=hidden,
                tell_condition=tell_condition,
            ),
        )
        secret = hidden if names_secrets(story.spec) else None
        self._reporting = Reporting(
            story,
            tuple(self._files.values()),
            self.holding.boundaries,
            lock,
            mask=secret,
            values=Values(hall.bus, process.directory, spawn=spawn, mask=secret),
            checkpoints=Checkpoints(
                hall,
                story,
                process.directory,
                working_directory(story.spec.workspace, process.directory),
                lock,
                spawn=spawn,
                mask=secret,
            ),
        )
        self.ending = Ending(
            story,
            process,
            lock,
            spawn=spawn,
            reporting=self._reporting,
            on_end=on_end,
            longest_quiet=self.watching.longest_quiet,
        )
        self.overrun = Overrun(
            story,
            process,
            self.ending,
            moving=self.holding.moving,
            finished=finished,
            spawn=spawn,
            most_output=story.spec.limits.output or hall.settings.most_output_bytes,
        )

    def carry_out(self, fact: Value) -> None:
        """Begin what a fact on disk says of its being held."""
        self.holding.carry_out(fact)
        if isinstance(fact, RunContinued):
            self._spawn(self._reporting.tell([]))  # what waits at other boundaries is judged now

    def evaluate(self, order: Envelope, data: EvaluateExpression) -> None:
        """Evaluate an expression where it is held; what comes of it is told."""
        self._spawn(self.holding.lines.requests.evaluate(order, data.expression, data.frame))

    def begin(self, *, recovered: bool) -> None:
        """From here on; what goes on for long is spawned."""
        if recovered:
            self._spawn(self._take_up())
        self._spawn(self.ending.until_exit())
        for path, file in self._files.items():
            following = follow_reports(
                file,
                path,
                self._hall.watcher,
                self._finished,
                self._reporting.tell,
                keep=self._reporting.keep,
                at_once=lambda: self.holding.boundaries.is_asked or self._reporting.is_waited_for,
            )
            self._spawn(following)
        if RunDirectory(
            self._process.directory
        ).debug.exists():  # it was started, or attached to, with its debugger
            self.holding.lines.begin()
        self.overrun.begin()

    async def _take_up(self) -> None:
        async with self._lock:
            await self.holding.take_up()

    async def _tell(self, fact: Value) -> None:
        told = await self._tell_condition(fact)
        if told is not None and isinstance(fact, ConditionRaised):
            self.diagnosing.by_itself(told)
