"""A run's story as this host tells it: folded, journaled, published, each fact once and in order. Owned by the keeper.

Nothing is told that is not on disk first, and nothing is done before the order for it is on disk.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from agent.hall import Hall
from agent.lease import clock
from agent.outbox import journal
from agent.watch.reports import Report
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import CheckpointStored, RunClaimed, StepCompleted, StepFailed, StepStarted
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor
from runplane.contract.spec import RunSpec
from runplane.contract.subjects import host_event
from runplane.contract.value import Value
from runplane.core.fold import apply, initial
from runplane.core.state import RunState
from runplane.stamp import now, stamp

log = logging.getLogger("agent.story")

_FULL_SECONDS = 0.5
_STEPS = 20
_OPEN_STEPS = 1_000


class Story:
    """The folded state of one run, and how facts are added to it. ``handled``: ids of the orders accepted here.

    ``elsewhere``: the record by which somebody else ended the run. ``start``: the order for this attempt. ``steps``:
    what was last reported of steps. ``open_steps``: those that have begun and not ended, by their place: since when, in
    seconds of the clock that nobody sets; ``step_changed`` is set when they change. ``checkpoint``: the number of the
    last one that was told.
    """

    def __init__(self, hall: Hall, run_id: str) -> None:
        """Empty; :meth:`refold` fills it from the journal."""
        self.run_id = run_id
        self.state: RunState = initial()
        self.handled: set[str] = set()
        self.elsewhere: Envelope | None = None
        self.start: StartRun | None = None
        self.open_steps: dict[str, float] = {}
        self.step_changed = asyncio.Event()
        self.checkpoint = 0
        self.steps: deque[Envelope] = deque(maxlen=_STEPS)
        self._hall = hall
        self._turn = 0
        self._told: set[str] = set()

    @property
    def attempt(self) -> int:
        """The attempt under way; 0 before the first claim."""
        return self.state.run.attempt if self.state.run is not None else 0

    @property
    def spec(self) -> RunSpec:
        """The run's configuration."""
        assert self.state.spec is not None  # noqa: S101 — a story begins with the order that carries it
        return self.state.spec

    def fold(self, envelope: Envelope) -> None:
        """Take a record into the state."""
        self._turn += 1
        self.state = apply(self.state, envelope, self._turn)
        if isinstance(envelope.data, StepStarted | StepCompleted | StepFailed):
            self.steps.append(envelope)
            self._follow_steps(envelope)
        elif isinstance(envelope.data, StartRun):
            self.start = envelope.data
        elif isinstance(envelope.data, CheckpointStored):
            self.checkpoint = max(self.checkpoint, envelope.data.number)

    def _follow_steps(self, envelope: Envelope) -> None:
        """Which steps are open, and since when. One that was reported to a former agent began when it was told."""
        data = envelope.data
        assert isinstance(data, StepStarted | StepCompleted | StepFailed)  # noqa: S101 — the caller has looked
        place = data.key or f"{data.name}#{data.index}"
        if not isinstance(data, StepStarted):
            self.open_steps.pop(place, None)
        elif len(self.open_steps) < _OPEN_STEPS:
            self.open_steps[place] = clock() - max(0.0, (now() - envelope.time).total_seconds())
        self.step_changed.set()

    async def accept(self, order: Envelope, *facts: Envelope) -> None:
        """Put the order that brings the run here and what it means on disk. Raises Unavailable: nothing was done."""
        await self._hall.journal.append(journal.command(order), *map(journal.event, facts))
        self.handled.add(order.id)

    async def tell(self, *facts: Envelope) -> None:
        """Put facts on disk, fold them, have them published. What was seen is told: a full disk only delays it."""
        while True:
            try:
                await self._hall.journal.append(*map(journal.event, facts), urgent=True)
                break
            except Unavailable as error:
                log.error("%s: %s waits to be told: %s", self.run_id, facts[0].type, error.message)  # noqa: TRY400
            await asyncio.sleep(_FULL_SECONDS)
        self._told_on_disk(facts)

    async def answer(self, order: Envelope, *facts: Envelope) -> None:
        """Put an order and what was decided of it on disk, and go on as above. Raises Unavailable: nothing was done."""
        await self._hall.journal.append(journal.command(order), *map(journal.event, facts), urgent=True)
        self.handled.add(order.id)
        self._told_on_disk(facts)

    async def report(self, *facts: Envelope) -> None:
        """Tell what can be told later as well. Raises Unavailable: it is to be reported again."""
        if not facts:
            return
        try:
            await self._hall.journal.append(*map(journal.event, facts))
        except Unavailable:
            self._told -= {fact.id for fact in facts}
            raise
        self._told_on_disk(facts)

    async def hear(self, ending: Envelope) -> None:
        """Take in that somebody else ended the run; the log has it already. Raises Unavailable."""
        told = journal.published(self.run_id, [ending.id])
        await self._hall.journal.append(journal.event(ending), told, urgent=True)
        self.elsewhere = ending
        self.fold(ending)

    async def take_in(self, records: Sequence[Envelope]) -> None:
        """Facts that others told before the run came here; the log has them already. Raises ``Unavailable``."""
        new = [record for record in records if record.id not in self._told]
        if new:
            told = journal.published(self.run_id, [record.id for record in new])
            await self._hall.journal.append(*map(journal.event, new), told, urgent=True)
        for record in new:
            self._told.add(record.id)
            self.fold(record)

    @property
    def gone(self) -> bool:
        """Whether it was told that nothing of the attempt's tree is left."""
        attempts = self.state.run.attempts if self.state.run is not None else ()
        return bool(attempts and attempts[-1].verified_by)

    def _told_on_disk(self, facts: Sequence[Envelope]) -> None:
        for fact in facts:
            self._told.add(fact.id)
            self.fold(fact)
        self._hall.publisher.enqueue(self.run_id, list(facts))

    def fact(
        self,
        data: Value,
        *,
        cause: Envelope | None = None,
        actor: Actor | None = None,
        command_id: str | None = None,
        record_id: str | None = None,
        attempt: int | None = None,
    ) -> Envelope:
        """Wrap a fact that this host saw or decided."""
        return stamp(
            data,
            subject=host_event(self._hall.settings.host, self.run_id),
            source=self._hall.source,
            actor=actor or self._hall.policy,
            cause=cause,
            command_id=command_id,
            attempt=attempt or self.attempt or None,
            record_id=record_id,
        )

    def reported(self, reports: list[Report]) -> list[Envelope]:
        """Facts of what the workflow reported, without those told before."""
        facts: list[Envelope] = []
        for report in reports:
            identity = self._identity(report)
            if identity not in self._told:
                self._told.add(identity)
                facts.append(self.fact(report.fact, record_id=identity, actor=report.actor))
        return facts

    def has_told(self, record_id: str) -> bool:
        """Whether a fact of this id was told before."""
        return record_id in self._told

    def knows(self, report: Report) -> bool:
        """Whether a fact of this report was told before."""
        return self._identity(report) in self._told

    def _identity(self, report: Report) -> str:
        return derive_record_id("report", self.run_id, str(self.attempt), str(report.key))

    def refold(self, records: list[dict[str, Any]]) -> tuple[Envelope | None, list[Envelope]]:
        """Fold the journal's records, anew each time; return the claim and the facts that the log may not have."""
        self.state, self.elsewhere, self._turn = initial(), None, 0
        self.handled.clear()
        self._told.clear()
        self.steps.clear()
        self.open_steps.clear()
        self.checkpoint = 0
        unsent_claim: Envelope | None = None
        untold: list[Envelope] = []
        for record in records:
            envelope = journal.envelope_of(record)
            if envelope is None:
                continue
            if record["kind"] == "command":
                self.handled.add(envelope.id)
                if isinstance(envelope.data, StartRun):
                    self.fold(envelope)
            elif isinstance(envelope.data, RunClaimed) and not record["published"]:
                unsent_claim = envelope
            else:
                self._told.add(envelope.id)
                self.fold(envelope)
                if (
                    envelope.host != self._hall.settings.host
                    and self.state.run is not None
                    and self.state.run.attempt_over
                ):
                    self.elsewhere = envelope
                if not record["published"]:
                    untold.append(envelope)
        return unsent_claim, untold

    def forget(self) -> None:
        """Nothing of this run is needed any more."""
        self._hall.journal.note(journal.forget(self.run_id))

    def published(self, envelope: Envelope) -> None:
        """The log has this fact."""
        self._hall.journal.note(journal.published(self.run_id, [envelope.id]))
