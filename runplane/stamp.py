"""Stamping: the one place where a clock and randomness meet the contract, to make a record of the log.

Called by the composition roots' loops and by whoever publishes; the contract and the core stay pure.
"""

import secrets
from datetime import UTC, datetime

from runplane.contract.envelope import COMMAND_TYPES, Envelope
from runplane.contract.ids import record_id_from, run_id_from
from runplane.contract.run import Actor
from runplane.contract.value import Value


def now() -> datetime:
    """The wall clock, in UTC. For people to read: order comes from the log."""
    return datetime.now(UTC)


def new_run_id() -> str:
    """A fresh run id."""
    return run_id_from(secrets.token_bytes(6))


def new_record_id() -> str:
    """A fresh record id."""
    return record_id_from(secrets.token_bytes(16))


def stamp(
    data: Value,
    *,
    subject: str,
    source: str,
    actor: Actor,
    cause: Envelope | None = None,
    command_id: str | None = None,
    attempt: int | None = None,
    record_id: str | None = None,
    time: datetime | None = None,
) -> Envelope:
    """Wrap a command or an event.

    ``cause`` is the record this one follows from: it hands on correlation, and its command id unless another is
    given. ``record_id`` is given where the id is derived from the cause, so that doing it twice changes nothing.
    """
    own_id = record_id or new_record_id()
    kind = type(data).__name__
    if command_id is None:
        command_id = own_id if kind in COMMAND_TYPES else (cause.command_id if cause is not None else None)
    return Envelope(
        id=own_id,
        type=kind,
        source=source,
        subject=subject,
        time=time or now(),
        actor=actor,
        correlation_id=cause.correlation_id if cause is not None else own_id,
        causation_id=cause.id if cause is not None else None,
        command_id=command_id,
        attempt=attempt,
        data=data,
    )
