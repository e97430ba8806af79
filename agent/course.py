"""What the end of an attempt means for its run, by its workflow's policy. Called by the keeper and by its ending."""

from agent.story import Story
from runplane.contract.events import RunCanceled, RunKilled
from runplane.contract.run import Ending, Failure, KillReceipt, Run
from runplane.core.policies.recovery import EndOfAttempt, fact_after
from runplane.core.state import Termination


def fact_of(
    story: Story,
    ending: Ending,
    failure: Failure,
    *,
    receipt: KillReceipt | None = None,
    exit_code: int | None = None,
) -> EndOfAttempt:
    """The fact to tell of an attempt that did not do its work: the run goes on after it, or ends with it."""
    run = story.state.run
    assert run is not None  # noqa: S101 — an attempt is a run's
    return fact_after(run, story.spec, ending=ending, failure=failure, receipt=receipt, exit_code=exit_code)


def ended_before_it_began(run: Run, termination: Termination | None) -> RunCanceled | RunKilled:
    """The ending of a run whose attempt was ended before a process of it existed; earlier attempts had some."""
    reason = termination.reason if termination is not None else None
    if run.attempt == 1 or termination is None:
        return RunCanceled(reason=reason)
    receipt = KillReceipt(
        command_id=termination.command_id or "",
        requested_by=termination.requested_by,
        via=termination.via,
        reason=reason,
        method="force" if termination.force else "graceful",
        verified=True,
        started_at=termination.since,
        ended_at=termination.since,
        duration_ms=0.0,
    )
    return RunKilled(receipt=receipt)
