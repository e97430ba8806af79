"""What a record says of a run beside its status: who holds it, how far it is, how its processes ended.

Called only for records that nothing is objected to. Where a fact is told twice, the first telling stays.
"""

from typing import Any, assert_never

from runplane.contract.commands import (
    ContinueRun,
    ForceCompleteRun,
    KillRun,
    PauseRun,
    RestartRun,
    RunCommand,
    SetBreakpoints,
    SetVariables,
    StartRun,
    StepRun,
)
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    CommandRejected,
    ConditionCleared,
    ConditionRaised,
    LeftoversFound,
    OutcomeOverridden,
    ProcessExited,
    ProcessSpawned,
    ProgressReported,
    ReportSetAside,
    RestartAccepted,
    RunCanceled,
    RunClaimed,
    RunCompleted,
    RunContinued,
    RunEvent,
    RunFailed,
    RunKilled,
    RunLost,
    RunPaused,
    RunReachable,
    RunTerminating,
    RunTimedOut,
    RunUnreachable,
    StepCompleted,
    StepFailed,
    StepStarted,
    SurvivorsFound,
    TerminationEscalated,
    TreeVerifiedGone,
)
from runplane.contract.run import Attempt, Condition, Failure, Override, Progress, Run, Status, Step, Survivor
from runplane.core.state import RunState, Termination

MAX_CONDITIONS = 20
"""Conditions kept; the oldest give way."""


def tell(state: RunState, run: Run, record: Envelope) -> RunState:
    """The state after the record, but for the status."""
    data = record.data
    return _told(state, run, record, data) if isinstance(data, RunEvent | RunCommand) else state


def _told(  # noqa: C901 - one flat case a record
    state: RunState, run: Run, record: Envelope, data: RunEvent | RunCommand
) -> RunState:
    match data:
        case RunClaimed():
            return _claimed(state, run, record, data)
        case ProcessSpawned():
            attempts = _last_attempt(run, main=data.main, mechanism=data.mechanism, started_at=record.time)
            return _update(state, run, attempts=attempts, started_at=run.started_at or record.time)
        case ProgressReported():
            return _update(state, run, progress=Progress(updated_at=record.time, **data.model_dump()))
        case StepStarted():
            return _update(state, run, step=Step(name=data.name, index=data.index, started_at=record.time))
        case StepCompleted() | StepFailed():
            return _update(state, run, step=None) if run.step and run.step.name == data.name else state
        case RunTerminating():
            return _terminating(state, run, record, data)
        case TerminationEscalated():
            return _escalated(state)
        case ProcessExited():
            return _exited(state, run, record, data)
        case SurvivorsFound():
            return _raise(state, run, _survivors_condition(record, data.survivors))
        case LeftoversFound():
            return _raise(state, run, _leftovers_condition(record, data))
        case TreeVerifiedGone():
            return _gone(state, run, data)
        case ConditionRaised():
            return _raise(state, run, data.condition)
        case ConditionCleared():
            return _update(state, run, conditions=tuple(c for c in run.conditions if c.type != data.type))
        case RunKilled():
            return _update(state, run, kill_receipt=data.receipt)
        case RunFailed() | RunLost():
            return _update(state, run, failure=data.failure)
        case RunTimedOut():
            return _update(state, run, failure=data.failure, kill_receipt=data.receipt or run.kill_receipt)
        case OutcomeOverridden():
            return _overridden(state, run, record, data)
        case RestartAccepted():
            return _update(state, run, restarted_as=run.restarted_as or data.new_run_id)
        case RunUnreachable():
            return state.model_copy(update={"status_before": run.status})
        case RunCompleted() | RunCanceled() | RunPaused() | RunContinued() | RunReachable():
            return state  # they move the status, which is all they say
        case CommandRejected() | ReportSetAside():
            return state  # for the audit log
        case StartRun() | KillRun() | RestartRun() | ForceCompleteRun():
            return state  # an order states no fact; a run's first order is folded before it is a run
        case PauseRun() | ContinueRun() | StepRun() | SetBreakpoints() | SetVariables():
            return state
        case _:
            assert_never(data)


def _claimed(state: RunState, run: Run, record: Envelope, data: RunClaimed) -> RunState:
    attempt = Attempt(attempt=data.attempt, host=data.host, claimed_at=record.time)
    return _update(
        state,
        run,
        host=data.host,
        attempt=data.attempt,
        attempts=(*run.attempts, attempt),
        exit=None,
        step=None,
    )


def _terminating(state: RunState, run: Run, record: Envelope, data: RunTerminating) -> RunState:
    """A further order gives the end another purpose; its grace and its clock are those of the first."""
    under_way = state.termination if run.status is Status.TERMINATING else None
    termination = Termination(
        command_id=record.command_id,
        purpose=data.purpose,
        force=data.method == "force" or (under_way is not None and under_way.force),
        reason=data.reason,
        requested_by=record.actor.principal,
        via=record.actor.surface,
        since=under_way.since if under_way else record.time,
        grace_seconds=under_way.grace_seconds if under_way else data.grace_seconds,
        outcome=data.outcome,
    )
    return state.model_copy(update={"termination": termination})


def _escalated(state: RunState) -> RunState:
    if state.termination is None:
        return state
    return state.model_copy(update={"termination": state.termination.model_copy(update={"force": True})})


def _exited(state: RunState, run: Run, record: Envelope, data: ProcessExited) -> RunState:
    if not run.attempts or run.attempts[-1].exit is not None:
        return state
    ended_at = run.attempts[-1].ended_at or record.time
    return _update(state, run, exit=data.exit, attempts=_last_attempt(run, exit=data.exit, ended_at=ended_at))


def _gone(state: RunState, run: Run, data: TreeVerifiedGone) -> RunState:
    known = run.attempts[-1].verified_by if run.attempts else ()
    attempts = _last_attempt(run, verified_by=known or data.verified_by)
    return _update(state, run, attempts=attempts, kill_receipt=run.kill_receipt or data.receipt)


def _overridden(state: RunState, run: Run, record: Envelope, data: OutcomeOverridden) -> RunState:
    override = Override(
        outcome=data.outcome,
        by=record.actor.principal,
        via=record.actor.surface,
        reason=data.reason,
        at=record.time,
        observed=data.observed,
    )
    failure = None
    if data.outcome == "failed":
        failure = Failure(
            kind="forced", message=data.reason or f"declared failed by {record.actor.principal}"
        )
    receipt = data.receipt or run.kill_receipt
    return _update(state, run, override=override, failure=failure, kill_receipt=receipt)


def _update(state: RunState, run: Run, **changes: Any) -> RunState:
    return state.model_copy(update={"run": run.model_copy(update=changes)})


def _last_attempt(run: Run, **changes: Any) -> tuple[Attempt, ...]:
    if not run.attempts:
        return run.attempts
    return (*run.attempts[:-1], run.attempts[-1].model_copy(update=changes))


def _raise(state: RunState, run: Run, condition: Condition) -> RunState:
    others = tuple(c for c in run.conditions if c.type != condition.type)
    return _update(state, run, conditions=(*others, condition)[-MAX_CONDITIONS:])


def _survivors_condition(record: Envelope, survivors: tuple[Survivor, ...]) -> Condition:
    named = "; ".join(f"pid {s.pid}: {s.why}" for s in survivors[:10])
    return Condition(type="survivors", since=record.time, detail=f"{len(survivors)} not gone: {named}")


def _leftovers_condition(record: Envelope, data: LeftoversFound) -> Condition:
    what = "being ended" if data.policy == "end" else "waited for"
    named = ", ".join(str(p.pid) for p in data.processes[:10])
    detail = f"main process ended; {len(data.processes)} processes live on and are {what}: pid {named}"
    return Condition(type="leftovers", since=record.time, detail=detail)
