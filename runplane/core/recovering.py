"""What follows from orders about a run between two attempts, and from the order to end an attempt that failed."""

from datetime import datetime

from runplane.contract.commands import DecideRun, EndAttempt
from runplane.contract.events import (
    RetryScheduled,
    RunCanceled,
    RunFailed,
    RunKilled,
    RunLost,
    RunTerminating,
)
from runplane.contract.run import Failure, KillReceipt, Run, Status
from runplane.core.policies.recovery import resumes_by_default
from runplane.core.rejection import Decision, reject
from runplane.core.state import RunState

_AT_WORK = frozenset({Status.STARTING, Status.RUNNING, Status.PAUSED})


def decide_end_of_attempt(state: RunState, run: Run, command: EndAttempt) -> Decision:
    """The attempt's tree is ended with the workflow's grace; an end that is under way is none of its business."""
    if run.status not in _AT_WORK or run.attempt != command.attempt:
        return reject(
            "attempt_over",
            f"attempt {command.attempt} of {run.run_id} is not at work (the run is {run.status} in attempt "
            f"{run.attempt}): it is not ended for being {command.ending}",
            status=run.status,
        )
    return (
        RunTerminating(
            purpose="stuck" if command.ending == "stuck" else "timeout",
            method="graceful",
            grace_seconds=state.spec.kill.grace if state.spec is not None else 10.0,
            reason=command.failure.message,
            failure=command.failure,
        ),
    )


def decide_course(state: RunState, run: Run, command: DecideRun, now: datetime) -> Decision:
    """The next attempt now, or none; where the run waits for either."""
    if run.status is not Status.PENDING or not run.attempts:
        return reject(
            "nothing_to_decide",
            f"{run.run_id} is {run.status} and waits for no decision: "
            + ("restart it to run it again" if run.status.ended else "it goes on by itself"),
            status=run.status,
        )
    if command.decision == "give_up":
        failure = run.failure or Failure(kind="given_up", message=command.reason or "given up by an operator")
        return (RunFailed(failure=failure),)
    by_default = state.spec is not None and resumes_by_default(state.spec)
    resume = command.decision == "resume" or (command.decision == "retry" and by_default)
    following = run.next_attempt
    if (
        following is not None
        and following.at is not None
        and following.at <= now
        and following.resume == resume
    ):
        return ()  # it is due already
    why = command.reason or f"an operator decided to {command.decision}"
    return (RetryScheduled(attempt=run.attempt + 1, at=now, resume=resume, why=why),)


def ended_while_pending(run: Run, now: datetime, reason: str | None) -> RunCanceled | RunKilled | RunLost:
    """How a run ends that has no processes: it never had any, all are shown to be gone, or nobody knows of some.

    Whoever tells it puts in by whose order.
    """
    if not run.attempts:
        return RunCanceled(reason=reason)
    if not run.is_accounted_for:
        last = next(one for one in reversed(run.attempts) if one.main is not None and not one.verified_by)
        return RunLost(
            failure=Failure(
                kind="killed_unaccounted",
                message=f"it was killed before another attempt; the processes of attempt {last.attempt} on host "
                f"{last.host} cannot be accounted for",
            )
        )
    shown = next((one.verified_by for one in reversed(run.attempts) if one.verified_by), ())
    return RunKilled(
        receipt=KillReceipt(
            command_id="",
            requested_by="",
            via="api",
            reason=reason,
            method="graceful",
            verified=True,
            verified_by=shown,
            started_at=now,
            ended_at=now,
            duration_ms=0.0,
        )
    )


def seen_while_pending(run: Run) -> str:
    """What was seen of the processes of a run that has none."""
    if not run.attempts:
        return "no process had been started"
    last = run.attempts[-1]
    return f"attempt {last.attempt} on host {last.host} was over ({last.ending or 'ended'}); no other had been started"
