"""Records as the broker would hand them over, for tests of whatever reads the log."""

from collections.abc import Iterable
from datetime import UTC, datetime

from runplane.bus import Message
from runplane.contract.envelope import Envelope

STORED_NS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
SECOND_NS = 1_000_000_000


def message(envelope: Envelope, seq: int) -> Message:
    """The record as stored at ``seq``; the broker's clock moves a second with each position."""
    return garbage(envelope.encode(), seq, envelope.subject)


def garbage(payload: bytes, seq: int, subject: str = "rp.evt.host.h1.run_00000000000a") -> Message:
    """Any bytes at a log position."""
    return Message(subject=subject, payload=payload, seq=seq, time_ns=STORED_NS + seq * SECOND_NS)


def messages(envelopes: Iterable[Envelope], first_seq: int = 1) -> list[Message]:
    """The records at consecutive positions."""
    return [message(envelope, seq) for seq, envelope in enumerate(envelopes, start=first_seq)]
