"""What becomes of a run when an attempt of it has failed: another attempt, a decision by an operator, or its end.

Pure. The chain is the workflow's; where it names none, it is what ``retry`` and ``recovery.on_failure`` say. An
attempt's number is its place in the chain, so nothing has to be remembered but how many attempts there were.

The wait before an attempt grows geometrically up to a limit, and a share of it is left to chance, so that runs that
fail together do not come back together ("equal jitter": Marc Brooker, Exponential Backoff And Jitter). Chance is the
run's id and the attempt's number: the same for whoever works it out again.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from runplane.contract.events import AttemptFailed, RunFailed, RunLost, RunTimedOut
from runplane.contract.ids import WorkflowName
from runplane.contract.run import Ending, Failure, KillReceipt, Run
from runplane.contract.spec import RunSpec
from runplane.contract.workflow import RecoveryLink, RetryPolicy

JITTER: Final = 0.5
"""The share of a wait that is left to chance."""
STUCK_ATTEMPTS: Final = 3
"""Further attempts of a run that is stuck, where ``stuck.action: retry`` stands without a number of attempts."""
FINAL: Final = frozenset({"run_timeout"})
"""Failures that are the run's, not the attempt's."""
CANNOT_RESUME: Final = frozenset({"shape_changed", "resume_missing"})
"""Failures of an attempt that could not go on from where another was: trying that again would change nothing."""

GONE_WITH_THEIR_HOST: Final = frozenset({"host_rebooted", "host_lost"})
"""Losses after which no process of the attempt can be alive: its host was started anew, or its lease is over."""

EndOfAttempt = AttemptFailed | RunFailed | RunLost | RunTimedOut


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What is done now. ``next`` None: the run ends."""

    next: Literal["attempt", "decision"] | None
    resume: bool = False
    delay_seconds: float = 0.0


def chain_of(spec: RunSpec) -> tuple[RecoveryLink, ...]:
    """What the workflow has done when attempts fail, link by link."""
    if spec.recovery.chain:
        return spec.recovery.chain
    attempts = spec.retry.max_attempts - 1
    if attempts == 0 and spec.stuck.action == "retry":
        attempts = STUCK_ATTEMPTS
    links = [RecoveryLink(do="retry", times=attempts)] if attempts > 0 else []
    if spec.recovery.on_failure is not None:
        links.append(RecoveryLink(do="run", workflow=spec.recovery.on_failure))
    return tuple(links)


def course_after(
    run: Run, spec: RunSpec, *, ending: Ending, failure: Failure, exit_code: int | None = None
) -> Course:
    """What is done after the run's last attempt ended like this."""
    if run.restarted_as is not None or failure.kind in FINAL:
        return Course(next=None)  # another run goes on in its place
    chain = chain_of(spec)
    if _is_to_be_attempted_again(spec, ending, failure, exit_code):
        link = _link_at(chain, spec, run.attempt, can_resume=failure.kind not in CANNOT_RESUME)
        if link is not None:
            return Course(
                next="attempt",
                resume=_resumes(link, spec),
                delay_seconds=wait_before(spec.retry, run.run_id, run.attempt),
            )
    return Course(
        next="decision" if chain and chain[-1].do == "escalate" else None,
    )


def fact_after(
    run: Run,
    spec: RunSpec,
    *,
    ending: Ending,
    failure: Failure,
    receipt: KillReceipt | None = None,
    exit_code: int | None = None,
) -> EndOfAttempt:
    """The fact to tell of an attempt that did not do its work: the run goes on after it, or ends with it."""
    course = course_after(run, spec, ending=ending, failure=failure, exit_code=exit_code)
    if course.next is not None:
        return AttemptFailed(
            ending=ending,
            failure=failure,
            next=course.next,
            resume=course.resume,
            delay_seconds=course.delay_seconds,
            receipt=receipt,
        )
    match ending:
        case "timed_out":
            return RunTimedOut(failure=failure, receipt=receipt)
        case "lost":
            return RunLost(failure=failure)
        case "failed" | "stuck":
            return RunFailed(failure=failure)


def resumes_by_default(spec: RunSpec) -> bool:
    """Whether a further attempt begins from the last checkpoint unless something else is said."""
    return spec.recovery.from_ == "checkpoint"


def runs_after_the_last(spec: RunSpec) -> tuple[WorkflowName, ...]:
    """The workflows that are started when no further attempt comes by itself."""
    return tuple(link.workflow for link in chain_of(spec) if link.do == "run" and link.workflow is not None)


def wait_before(retry: RetryPolicy, run_id: str, failed: int) -> float:
    """Seconds between the end of attempt ``failed`` and the next one: between half of what is due and all of it."""
    try:
        due = min(retry.max, retry.initial * retry.factor ** (failed - 1))
    except OverflowError:
        due = retry.max
    chance = int.from_bytes(hashlib.sha256(f"{run_id}/{failed}".encode()).digest()[:4]) / 2**32
    return round(due * (1 - JITTER * chance), 3)


def _is_to_be_attempted_again(spec: RunSpec, ending: Ending, failure: Failure, exit_code: int | None) -> bool:
    if ending == "lost" and failure.kind not in GONE_WITH_THEIR_HOST:
        return False  # its processes may be alive: a second tree could come to live beside them
    return ending in spec.retry.on and not (ending == "failed" and exit_code in spec.retry.not_on_exit)


def _resumes(link: RecoveryLink, spec: RunSpec) -> bool:
    return link.do == "resume" or (link.do == "retry" and resumes_by_default(spec))


def _link_at(
    chain: tuple[RecoveryLink, ...], spec: RunSpec, failed: int, *, can_resume: bool
) -> RecoveryLink | None:
    """The link that begins the attempt after number ``failed``; one that cannot be followed gives way to the next.

    Nothing is begun from the beginning because it could not go on from its middle: what was done would be done again.
    """
    before = 0
    for link in chain:
        if not link.attempts:
            continue
        before += link.times
        if failed <= before and (can_resume or not _resumes(link, spec)):
            return link
    return None
