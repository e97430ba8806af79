"""Takes diagnoses of one live attempt: when somebody asks, and by itself when the run becomes stuck.

Made by its attendance. Rules: looking never holds up an order, and never the other runs: it is done in a thread, few at
a time on a host. Those taken by itself have a pause between them and an end, so that a run that gets stuck again and
again does not fill the log.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from agent.hall import Hall
from agent.process.tree import AttemptProcess
from agent.story import Story
from agent.watch import diagnosis
from agent.watch.explanation import explain
from agent.watch.fitting import fitted
from agent.watch.stuck_detector import STUCK
from agent.watch.verdict import Sight
from agent.watching import Watching
from runplane.contract.diagnosis import Diagnosis, SeenStep
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import DiagnosisTaken, StepCompleted, StepFailed, StepStarted
from runplane.stamp import now

log = logging.getLogger("agent.diagnosing")

MOST_BY_ITSELF = 20
PAUSE_SECONDS = 60.0
_LOOK_SECONDS = 30.0


class Diagnosing:
    """Of one attempt. ``lock`` is the keeper's, ``spawn`` runs work beside it."""

    def __init__(
        self,
        hall: Hall,
        story: Story,
        process: AttemptProcess,
        watching: Watching,
        lock: asyncio.Lock,
        *,
        mask: Callable[[str], str],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Nothing is looked at before somebody asks."""
        self._hall = hall
        self._story = story
        self._process = process
        self._watching = watching
        self._lock = lock
        self._mask = mask
        self._spawn = spawn
        self._by_itself = 0
        self._last: float | None = None

    def by_order(self, order: Envelope) -> None:
        """Somebody asked."""
        self._spawn(self._take(order))

    def by_itself(self, cause: Envelope) -> None:
        """The run has become stuck, or stuck in another way."""
        moment = time.monotonic()
        if self._by_itself >= MOST_BY_ITSELF or (
            self._last is not None and moment - self._last < PAUSE_SECONDS
        ):
            return
        self._by_itself += 1
        self._last = moment
        self._spawn(self._take(cause))

    async def _take(self, cause: Envelope) -> None:
        async with self._hall.diagnoses:
            begun = time.monotonic()
            if self._watching.sight() is None:
                self._watching.sample()
            members = self._process.members()
            async with asyncio.timeout(_LOOK_SECONDS):
                looked = await asyncio.to_thread(
                    diagnosis.look, members, main=self._process.main.pid, mask=self._mask
                )
            taken = self._written(looked, (time.monotonic() - begun) * 1000)
        fact = self._story.fact(DiagnosisTaken(diagnosis=taken), cause=cause, actor=cause.actor)
        async with self._lock:
            try:
                await self._story.report(fact)
            except Unavailable as error:
                log.warning("%s: a diagnosis could not be told: %s", self._story.run_id, error.message)

    def _written(self, looked: diagnosis.Look, milliseconds: float) -> Diagnosis:
        run = self._story.state.run
        assert run is not None  # noqa: S101 — only what was claimed is attended
        condition = next((one for one in run.conditions if one.type == STUCK), None)
        sight = self._sight(looked)
        threads = [thread for process in looked.processes for thread in process.threads]
        stacks = {thread.tid: thread.stack for thread in threads if thread.stack}
        names = {thread.tid: thread.name for thread in threads}
        verdict = condition.verdict if condition is not None else None
        directory = self._process.directory
        return fitted(
            Diagnosis(
                run_id=run.run_id,
                workflow=run.workflow,
                status=run.status,
                attempt=run.attempt,
                host=run.host,
                sentence=self._mask(explain(run.workflow, sight, verdict, stacks, names)),
                condition=condition,
                progress=run.progress,
                quiet_seconds=round(sight.quiet, 1),
                processes=looked.processes,
                stdout=diagnosis.last_lines(directory / "stdout.log", self._mask),
                stderr=diagnosis.last_lines(directory / "stderr.log", self._mask),
                steps=tuple(_step(record) for record in self._story.steps),
                samples=tuple(self._watching.samples),
                unseen=looked.unseen,
                taken_at=now(),
                duration_ms=round(milliseconds, 1),
            )
        )

    def _sight(self, looked: diagnosis.Look) -> Sight:
        """What the detector saw last, with what the threads wait for at this moment."""
        moment = now()
        last = self._watching.sight() or Sight(now=moment, quiet=0.0, busy=0.0, cpu_percent=0.0)
        return replace(
            last,
            now=moment,
            quiet=last.quiet + max(0.0, (moment - last.now).total_seconds()),
            main=self._process.main.pid,
            parents={process.pid: process.parent_pid for process in looked.processes},
            names={process.pid: process.name for process in looked.processes},
            waits=looked.waits,
        )


def _step(record: Envelope) -> SeenStep:
    data = record.data
    assert isinstance(data, StepStarted | StepCompleted | StepFailed)  # noqa: S101 — the story keeps no others
    state: Literal["started", "completed", "failed"] = "started"
    if not isinstance(data, StepStarted):
        state = "completed" if isinstance(data, StepCompleted) else "failed"
    return SeenStep(
        name=data.name,
        index=data.index,
        state=state,
        at=record.time,
        duration_seconds=getattr(data, "duration_seconds", None),
    )
