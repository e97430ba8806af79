"""What is told of a run's attempts: who holds one, how its processes ended, why it failed, when the next one comes."""

from typing import Any

from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    AttemptFailed,
    ProcessExited,
    RetryScheduled,
    RunClaimed,
    TreeVerifiedGone,
)
from runplane.contract.run import AWAITING_DECISION, Attempt, Condition, NextAttempt, Run

Changes = dict[str, Any]
"""Fields and their new values."""
_NOTHING: Changes = {}


def claimed(run: Run, record: Envelope, data: RunClaimed) -> Changes:
    """A host begins another attempt; what was said of the one before is said no more."""
    resumed = run.next_attempt is not None and run.next_attempt.resume
    attempt = Attempt(attempt=data.attempt, host=data.host, claimed_at=record.time, resumed=resumed)
    return {
        "host": data.host,
        "attempt": data.attempt,
        "attempts": (*run.attempts, attempt),
        "exit": None,
        "step": None,
        "failure": None,
        "next_attempt": None,
        "progress": run.progress if resumed else None,
        "conditions": tuple(one for one in run.conditions if one.type != AWAITING_DECISION),
    }


def failed(run: Run, record: Envelope, data: AttemptFailed, bound_to: str | None) -> Changes:
    """The run has no host any more, but for one it is bound to; and none of what was true of its processes."""
    last = run.attempts[-1] if run.attempts else None
    shown = data.receipt.verified_by if data.receipt is not None and data.receipt.verified else ()
    changed = {
        "ending": data.ending,
        "failure": data.failure,
        "ended_at": (last.ended_at if last is not None else None) or record.time,
        "verified_by": (last.verified_by if last is not None else ()) or shown,
    }
    conditions: tuple[Condition, ...] = ()
    following = None
    if data.next == "decision":
        why = f"attempt {run.attempt} {data.ending}: {data.failure.message}"
        conditions = (Condition(type=AWAITING_DECISION, since=record.time, detail=why),)
    else:
        following = NextAttempt(attempt=run.attempt + 1, resume=data.resume, why=data.failure.message)
    return {
        "host": bound_to,
        "attempts": last_changed(run, **changed),
        "failure": data.failure,
        "conditions": conditions,
        "next_attempt": following,
        "step": None,
        "held": None,
    }


def scheduled(run: Run, data: RetryScheduled) -> Changes:
    """The next attempt has a time."""
    following = NextAttempt(
        attempt=data.attempt, at=data.at, resume=data.resume, why=data.why, slowed=data.slowed
    )
    kept = tuple(one for one in run.conditions if one.type != AWAITING_DECISION)
    return {"next_attempt": following, "conditions": kept}


def told_late(run: Run, record: Envelope) -> Changes:
    """What is told late of an attempt changes that attempt's record, and nothing else."""
    data = record.data
    return {
        "attempts": tuple(
            one
            if one.attempt != record.attempt
            else one.model_copy(update={"exit": one.exit or data.exit})
            if isinstance(data, ProcessExited)
            else one.model_copy(update={"verified_by": one.verified_by or data.verified_by})
            if isinstance(data, TreeVerifiedGone)
            else one
            for one in run.attempts
        )
    }


def exited(run: Run, record: Envelope, data: ProcessExited) -> Changes:
    """How its main process ended; the first telling stays."""
    if not run.attempts or run.attempts[-1].exit is not None:
        return _NOTHING
    ended_at = run.attempts[-1].ended_at or record.time
    return {"exit": data.exit, "attempts": last_changed(run, exit=data.exit, ended_at=ended_at)}


def gone(run: Run, data: TreeVerifiedGone) -> Changes:
    """No process of it is left."""
    known = run.attempts[-1].verified_by if run.attempts else ()
    attempts = last_changed(run, verified_by=known or data.verified_by)
    return {"attempts": attempts, "kill_receipt": run.kill_receipt or data.receipt}


def last_changed(run: Run, **changes: Any) -> tuple[Attempt, ...]:
    """The attempts, with other values in the last."""
    if not run.attempts:
        return run.attempts
    return (*run.attempts[:-1], run.attempts[-1].model_copy(update=changes))
