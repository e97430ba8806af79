"""Decisions, without a clock or a random number: what an event is about, who is told of it, when to try again."""

import hashlib

from control_plane.notifications.settings import About, Notifications, Retry, Target
from runplane.contract.envelope import Envelope
from runplane.contract.events import AttemptFailed, ConditionRaised
from runplane.contract.ids import derive_record_id
from runplane.core.state import RunState

STUCK = "stuck"
OLDEST_SECONDS = 24 * 3600.0
"""Nobody is told of an older event: the control plane was away, or reads an old log for the first time."""
JITTER = 0.2
_OUTCOMES: dict[str, About] = {
    "failed": "failed", "killed": "killed", "timed_out": "timed_out", "lost": "lost",
}  # fmt: skip


def about_of(record: Envelope, before: RunState, outcome: str | None) -> About | None:
    """What somebody is to be told because of a record; ``outcome``: the status by which it ended the run.

    A run that was stuck already and now has another verdict is told of once.
    """
    if outcome is not None:
        return _OUTCOMES.get(outcome)
    if isinstance(record.data, AttemptFailed):
        return "decision" if record.data.next == "decision" else None
    if not isinstance(record.data, ConditionRaised) or record.data.condition.type != STUCK:
        return None
    run = before.run
    if run is None or run.status.ended or any(one.type == STUCK for one in run.conditions):
        return None
    return "stuck"


def told_of(configuration: Notifications, about: About, workflow: str) -> tuple[Target, ...]:
    """Who is told."""
    return tuple(target for target in configuration.targets if target.wants(about, workflow))


def notification_id(record_id: str, target: str) -> str:
    """The same for the same event and target, whoever asks: receivers know by it what they have had before."""
    return f"msg_{derive_record_id(record_id, 'notification', target)}"


def wait_before(retry: Retry, attempts: int, key: str, *, asked: float | None = None) -> float | None:
    """Seconds until the next attempt after ``attempts`` that failed; None where there is none.

    ``key`` spreads the attempts of different notifications; ``asked``: seconds the receiver wants to be left alone.
    """
    if attempts >= retry.attempts:
        return None
    wait = min(retry.longest, retry.first * retry.factor ** (attempts - 1))
    share = hashlib.sha256(f"{key}/{attempts}".encode()).digest()[0] / 255
    wait *= 1 - JITTER + 2 * JITTER * share
    return max(wait, min(asked, retry.longest)) if asked is not None else wait
