"""Deciding about runs that no host holds: pending and ended ones.

The facts are published by compare-and-set on the run's events, so a claim by a host and a cancellation by the plane
cannot both happen: whoever comes second folds again and decides again. All ids are derived from the command, so
handling it twice changes nothing.
"""

import logging
from dataclasses import dataclass
from typing import Protocol, get_args

from control_plane.read_model import EventFilter, ReadModel
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import RunCommand, StartRun
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.errors import SystemFault, Unavailable
from runplane.contract.events import CommandRejected, OutcomeOverridden, RunEvent, RunKilled
from runplane.contract.ids import derive_record_id
from runplane.contract.subjects import LOG_STREAM, host_command, plane_event, run_events, run_story
from runplane.core.decide import Rejection, decide, owner
from runplane.core.fold import fold, initial
from runplane.core.state import RunState
from runplane.stamp import stamp

log = logging.getLogger("control_plane.process_manager")

SOURCE = "plane/process-manager"
MAX_ROUNDS = 8
"""How often a decision that lost its compare-and-set is made again before the command is put back for later."""
PROJECTION_SECONDS = 5.0
_RUN_COMMANDS = get_args(RunCommand)


class LostTooOften(SystemFault):
    """Somebody else kept writing first."""

    code = "lost_too_often"


@dataclass(frozen=True, kw_only=True, slots=True)
class Current:
    """A run as it stands: what a compare-and-set on its events expects, and what a command has led to already."""

    state: RunState
    event_seq: int
    records: tuple[Envelope, ...]

    def answers(self, command: Envelope) -> frozenset[str]:
        """The ids of the records that the command caused directly."""
        return frozenset(record.id for record in self.records if record.causation_id == command.id)

    def declared_by(self, command: Envelope) -> OutcomeOverridden | None:
        """The outcome that the plane has declared by this command before."""
        declared = _decided_id(command, OutcomeOverridden)
        return next(
            (
                record.data
                for record in self.records
                if record.id == declared and isinstance(record.data, OutcomeOverridden)
            ),
            None,
        )


async def current_state(
    bus: Bus, read_model: ReadModel, run_id: str, *, command: Envelope | None, sure: bool
) -> Current:
    """The run by the read model; ``sure`` reads the log itself, which also counts events that cannot be read."""
    if not sure:
        state = read_model.state(run_id) or initial()
        known = EventFilter(command_id=command.command_id or command.id) if command is not None else None
        caused = tuple(record for _, record in read_model.events(known)) if known is not None else ()
        return Current(state=state, event_seq=state.event_seq, records=caused)
    records: list[tuple[int, Envelope]] = []
    event_seq = 0
    for message in await bus.read_once(LOG_STREAM, run_story(run_id)):
        if message.subject.startswith("rp.evt."):
            event_seq = message.seq
        try:
            records.append((message.seq, parse(message.payload, message.subject)))
        except Unreadable as error:
            log.debug("record %d of %s passed over: %s", message.seq, run_id, error)
    return Current(state=fold(records), event_seq=event_seq, records=tuple(record for _, record in records))


async def until_projected(read_model: ReadModel, seq: int) -> None:
    """Wait until the read model reflects a log position; Unavailable when it does not get there soon."""
    if not await read_model.wait_for(seq, PROJECTION_SECONDS):
        raise Unavailable(f"the read model stands at {read_model.position} and has not reached {seq} yet")


class Starts(Protocol):
    """Who takes orders to start that come to the plane."""

    async def start(self, order: Envelope, start: StartRun, seq: int) -> None:
        """Take one; taking it twice changes nothing."""


class PlaneDecisions:
    """Handles the commands on ``rp.cmd.plane.main.<run>``."""

    def __init__(self, bus: Bus, read_model: ReadModel, admission: Starts) -> None:
        """Nothing happens before :meth:`handle`. ``admission`` takes the orders to start."""
        self._bus = bus
        self._read_model = read_model
        self._admission = admission

    async def handle(self, envelope: Envelope, seq: int, *, again: bool) -> None:
        """Decide about one command. ``again`` says that it was handed over before."""
        command = envelope.data
        if isinstance(command, StartRun):
            return await self._admission.start(envelope, command, seq)
        if not isinstance(command, _RUN_COMMANDS):
            log.warning("%s %s at %d is not for the plane: passed over", envelope.type, envelope.id, seq)
            return None
        await until_projected(self._read_model, seq)
        for attempt in range(MAX_ROUNDS):
            current = await current_state(
                self._bus, self._read_model, command.run_id, command=envelope, sure=again or attempt > 0
            )
            try:
                return await self._decide(envelope, command, current)
            except CompareFailed:
                log.debug("%s %s lost its compare-and-set: deciding again", envelope.type, envelope.id)
        raise LostTooOften(
            f"{envelope.type} for {command.run_id} lost {MAX_ROUNDS} times: it is tried again later"
        )

    async def _decide(self, envelope: Envelope, command: RunCommand, current: Current) -> None:
        host = owner(current.state, command)
        if host is not None:
            await self._forward(envelope, host, current)
            return
        decision = decide(current.state, command, await self._bus.time_for(command))
        if not isinstance(decision, Rejection):
            await self._publish(envelope, command.run_id, decision, current)
            await self._forward_to_absent(envelope, decision, current)
        elif declared := current.declared_by(envelope):
            await self._forward_to_absent(envelope, (declared,), current)
        elif not current.answers(envelope):
            await self._reject(envelope, command, decision, current)

    async def _publish(
        self, envelope: Envelope, run_id: str, facts: tuple[RunEvent, ...], current: Current
    ) -> None:
        expected = current.event_seq
        for fact in facts:
            stored = await self._bus.publish(
                _fact(envelope, run_id, fact), expect=Expect(run_events(run_id), expected)
            )
            expected = stored.seq

    async def _forward_to_absent(
        self, envelope: Envelope, facts: tuple[RunEvent, ...], current: Current
    ) -> None:
        """The outcome of an open run was declared while its host is away: the host will have to end the tree.

        After the log has the outcome, so that a host that was there all the time does not declare it once more.
        """
        run = current.state.run
        is_declared = any(isinstance(fact, OutcomeOverridden) and not fact.replaced for fact in facts)
        if is_declared and run is not None and run.host is not None and run.attempt > 0:
            await self._forward(envelope, run.host, current)

    async def _reject(
        self, envelope: Envelope, command: RunCommand, why: Rejection, current: Current
    ) -> None:
        fact = CommandRejected(command=envelope.type, code=why.code, message=why.message, detail=why.detail)
        await self._publish(envelope, command.run_id, (fact,), current)

    async def _forward(self, envelope: Envelope, host: str, current: Current) -> None:
        """A host holds the run by now: the same order to that host, from the same actor."""
        record_id = derive_record_id(envelope.id, "forward", host)
        if record_id in current.answers(envelope):
            return
        forwarded = stamp(
            envelope.data,
            subject=host_command(host, envelope.subject.rsplit(".", 1)[-1]),
            source=SOURCE,
            actor=envelope.actor,
            cause=envelope,
            command_id=envelope.command_id or envelope.id,
            record_id=record_id,
        )
        await self._bus.publish(forwarded)


def _fact(envelope: Envelope, run_id: str, fact: RunEvent) -> Envelope:
    if isinstance(fact, RunKilled):  # of a run that had no processes: who asked for it is known here only
        by = {
            "command_id": envelope.command_id or envelope.id,
            "requested_by": envelope.actor.principal,
            "via": envelope.actor.surface,
        }
        fact = fact.model_copy(update={"receipt": fact.receipt.model_copy(update=by)})
    return stamp(
        fact,
        subject=plane_event(run_id),
        source=SOURCE,
        actor=envelope.actor,
        cause=envelope,
        command_id=envelope.command_id or envelope.id,
        record_id=_decided_id(envelope, type(fact)),
    )


def _decided_id(command: Envelope, fact: type) -> str:
    return derive_record_id(command.id, "decided", fact.__name__)
