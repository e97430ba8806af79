"""A run's story as this host tells it: folded, journaled, published, each fact once and in order. Owned by the keeper.

Nothing is told that is not on disk first, and nothing is done before the order for it is on disk.
"""

from typing import Any

from agent.hall import Hall
from agent.outbox import journal
from agent.watch.reports import Report
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import RunClaimed
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor
from runplane.contract.spec import RunSpec
from runplane.contract.subjects import host_event
from runplane.contract.value import Value
from runplane.core.fold import apply, initial
from runplane.core.state import RunState
from runplane.stamp import stamp


class Story:
    """The folded state of one run, and how facts are added to it. ``handled``: ids of the orders accepted here."""

    def __init__(self, hall: Hall, run_id: str) -> None:
        """Empty; :meth:`refold` fills it from the journal."""
        self.run_id = run_id
        self.state: RunState = initial()
        self.handled: set[str] = set()
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

    async def accept(self, order: Envelope, *facts: Envelope) -> None:
        """Put an order and what it means on disk."""
        self.handled.add(order.id)
        await self._hall.journal.append(journal.command(order), *(journal.event(fact) for fact in facts))

    async def tell(self, *facts: Envelope, order: Envelope | None = None) -> None:
        """Put facts (and the order they follow from) on disk, fold them, have them published."""
        orders = [journal.command(order)] if order is not None else []
        await self._hall.journal.append(*orders, *(journal.event(fact) for fact in facts))
        for fact in facts:
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
            identity = derive_record_id("report", self.run_id, str(self.attempt), str(report.key))
            if identity not in self._told:
                self._told.add(identity)
                facts.append(self.fact(report.fact, record_id=identity))
        return facts

    def refold(self, records: list[dict[str, Any]]) -> tuple[Envelope | None, list[Envelope]]:
        """Fold the journal's records; return the claim if the log may not have it, and the facts it may not have."""
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
                if not record["published"]:
                    untold.append(envelope)
        return unsent_claim, untold

    def forget(self) -> None:
        """Nothing of this run is needed any more."""
        self._hall.journal.note(journal.forget(self.run_id))

    def published(self, envelope: Envelope) -> None:
        """The log has this fact."""
        self._hall.journal.note(journal.published(self.run_id, [envelope.id]))
