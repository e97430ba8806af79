"""What every command goes through: find the run, wrap, publish, and say so when it is refused."""

import logging
from dataclasses import dataclass

from control_plane.broker_answer import from_broker
from control_plane.command_side.repetition import Repeatable, key_reused
from control_plane.read_model import EventFilter, ReadModel
from runplane.bus import Bus, Expect
from runplane.contract import subjects
from runplane.contract.envelope import Envelope
from runplane.contract.errors import NotFound
from runplane.contract.events import CommandRejected
from runplane.contract.run import Actor
from runplane.contract.value import Value
from runplane.core.decide import Rejection
from runplane.core.fold import fold
from runplane.core.state import RunState
from runplane.stamp import stamp

log = logging.getLogger("control_plane.command_side")

SOURCE = "plane/command-side"
CATCH_UP_SECONDS = 2.0
"""How long a read may wait for the projection to reach what the broker already has."""
_RECORDS_LOOKED_AT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A record that the broker has stored, and whether it had it already."""

    envelope: Envelope
    seq: int
    duplicate: bool


class Desk:
    """Publishes what is asked for, and finds what was asked before."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Share the connection and the read model of the process."""
        self.bus = bus
        self.read_model = read_model
        self._knows_before = False

    async def state(self, run_id: str) -> RunState:
        """The state of a run; NotFound where there is none, also in what the log holds and nobody has folded yet."""
        state = self.read_model.state(run_id)
        if state is None or state.run is None:
            records = await from_broker(self.bus.story(run_id))
            if records:
                await self.read_model.wait_for(records[-1][0], CATCH_UP_SECONDS)
            state = fold(records)
        if state.run is None:
            raise NotFound(
                f"there is no run {run_id}: see runplane ps --all", code="run_not_found", run_id=run_id
            )
        return state

    async def earlier(self, again: Repeatable | None) -> tuple[int, Envelope] | None:
        """The first record stored under the request's key; InvalidInput where it was another request's.

        A refusal is not an answer that stands: what was refused is decided again.
        """
        if again is None:
            return None
        if not self._knows_before:
            self._knows_before = await self.catch_up()
        return self._recorded(again)

    async def catch_up(self) -> bool:
        """Let the projection reach what the broker holds at this moment; False when it did not within the limit."""
        return await self.read_model.wait_for(await from_broker(self.bus.last_seq()), CATCH_UP_SECONDS)

    async def place(
        self,
        data: Value,
        *,
        subject: str,
        actor: Actor,
        again: Repeatable | None = None,
        expect: Expect | None = None,
    ) -> Placed:
        """Wrap and publish; returns when the broker has the record on disk."""
        envelope = stamp(
            data,
            subject=subject,
            source=SOURCE,
            actor=actor,
            record_id=again.command_id if again is not None else None,
            command_id=again.command_id if again is not None else None,
        )
        if again is not None:
            envelope = envelope.model_copy(update={"correlation_id": again.correlation_id})
        stored = await self.bus.publish(envelope, expect)
        if stored.duplicate and again is not None:
            await self.read_model.wait_for(stored.seq, CATCH_UP_SECONDS)
            self._recorded(again)
        return Placed(envelope=envelope, seq=stored.seq, duplicate=stored.duplicate)

    async def refuse(
        self, command: Value, rejection: Rejection, *, run_id: str, actor: Actor, again: Repeatable | None
    ) -> Placed:
        """Write the refusal into the run's story: who asked for what, and why it was not done."""
        refused = CommandRejected(
            command=type(command).__name__,
            code=rejection.code,
            message=rejection.message,
            detail={**rejection.detail, "reason": getattr(command, "reason", None)},
        )
        envelope = stamp(refused, subject=subjects.plane_event(run_id), source=SOURCE, actor=actor)
        envelope = envelope.model_copy(
            update={
                "command_id": again.command_id if again is not None else envelope.id,
                "correlation_id": again.correlation_id if again is not None else envelope.correlation_id,
            }
        )
        stored = await self.bus.publish(envelope)
        return Placed(envelope=envelope, seq=stored.seq, duplicate=stored.duplicate)

    def _recorded(self, again: Repeatable) -> tuple[int, Envelope] | None:
        asked = EventFilter(command_id=again.command_id, limit=_RECORDS_LOOKED_AT)
        for seq, envelope in self.read_model.events(asked):
            if envelope.source != SOURCE:
                continue
            if envelope.correlation_id != again.correlation_id:
                raise key_reused(again.key)
            if envelope.type != CommandRejected.__name__:
                return seq, envelope
        return None
