"""What a record says of a run beside its status: who holds it, how far it is, how its processes ended.

Called only for records that nothing is objected to. Where a fact is told twice, the first telling stays.
"""

from typing import Any, assert_never

from runplane.contract.commands import (
    ContinueRun,
    DiagnoseRun,
    EvaluateExpression,
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
    BreakpointsSet,
    CommandRejected,
    ConditionCleared,
    ConditionRaised,
    DiagnosisTaken,
    ExpressionEvaluated,
    LeftoversFound,
    NotificationDelivered,
    NotificationFailed,
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
    VariablesReported,
    VariablesSet,
)
from runplane.contract.run import Attempt, Condition, Failure, Held, Override, Run, Status, Step, Survivor
from runplane.core.debugging import debugged
from runplane.core.forecast import progressed
from runplane.core.state import RunState, Termination

MAX_CONDITIONS = 20
"""Conditions kept; the oldest give way."""


Changes = dict[str, Any]
"""Fields and their new values."""
_NOTHING: Changes = {}


def tell(state: RunState, run: Run, record: Envelope) -> tuple[Changes, Changes]:
    """What the record changes of the run, and of the state around it; the status apart."""
    data = record.data
    match data:
        case RunTerminating():
            return {"held": None}, {"termination": _termination(state, run, record, data)}
        case TerminationEscalated() if state.termination is not None:
            return _NOTHING, {"termination": state.termination.model_copy(update={"force": True})}
        case RunUnreachable():
            return _NOTHING, {"status_before": run.status}
        case (
            RunClaimed()
            | RunPaused()
            | RunContinued()
            | BreakpointsSet()
            | VariablesReported()
            | VariablesSet()
        ):
            return _of_the_run(run, record, data), {"debugging": debugged(state.debugging, record, data)}
        case _ if isinstance(data, RunEvent | RunCommand):
            return _of_the_run(run, record, data), _NOTHING
        case _:
            return _NOTHING, _NOTHING


def _of_the_run(  # noqa: C901 - one flat case a record
    run: Run, record: Envelope, data: RunEvent | RunCommand
) -> Changes:
    match data:
        case RunClaimed():
            return _claimed(run, record, data)
        case ProcessSpawned():
            attempts = _last_attempt(run, main=data.main, mechanism=data.mechanism, started_at=record.time)
            return {"attempts": attempts, "started_at": run.started_at or record.time}
        case ProgressReported():
            return {"progress": progressed(run.progress, data, record.time)}
        case StepStarted():
            step = Step(
                name=data.name,
                index=data.index,
                started_at=record.time,
                expected_seconds=data.expected_seconds,
            )
            return {"step": step}
        case StepCompleted() | StepFailed():
            return {"step": None} if run.step and run.step.name == data.name else _NOTHING
        case ProcessExited():
            return _exited(run, record, data)
        case SurvivorsFound():
            return _raised(run, _survivors_condition(record, data.survivors))
        case LeftoversFound():
            return _raised(run, _leftovers_condition(record, data))
        case TreeVerifiedGone():
            return _gone(run, data)
        case ConditionRaised():
            return _raised(run, data.condition)
        case ConditionCleared():
            return {"conditions": tuple(c for c in run.conditions if c.type != data.type)}
        case RunKilled():
            return {"kill_receipt": data.receipt}
        case RunFailed() | RunLost():
            return {"failure": data.failure}
        case RunTimedOut():
            return {"failure": data.failure, "kill_receipt": data.receipt or run.kill_receipt}
        case OutcomeOverridden():
            return _overridden(run, record, data)
        case RestartAccepted():
            return {"restarted_as": run.restarted_as or data.new_run_id}
        case RunPaused():
            return {"held": _held(record, data)}
        case RunContinued():
            attempts = run.attempts
            if attempts and data.held_seconds:
                attempts = _last_attempt(run, held_seconds=attempts[-1].held_seconds + data.held_seconds)
            return {"held": None, "attempts": attempts}
        case BreakpointsSet():
            return {"breakpoints": data.breakpoints}
        case VariablesReported() | VariablesSet():
            return _NOTHING  # they are told of the state around the run
        case RunCompleted() | RunCanceled() | RunReachable():
            return _NOTHING  # they move the status, which is all they say
        case RunUnreachable() | RunTerminating() | TerminationEscalated():
            return _NOTHING  # they are told of the state around the run
        case (
            CommandRejected()
            | ReportSetAside()
            | ExpressionEvaluated()
            | DiagnosisTaken()
            | NotificationDelivered()
            | NotificationFailed()
        ):
            return _NOTHING  # for the audit log
        case StartRun() | KillRun() | RestartRun() | ForceCompleteRun():
            return _NOTHING  # an order states no fact; a run's first order is folded before it is a run
        case (
            PauseRun()
            | ContinueRun()
            | StepRun()
            | SetBreakpoints()
            | SetVariables()
            | EvaluateExpression()
            | DiagnoseRun()
        ):
            return _NOTHING
        case _:
            assert_never(data)


def _held(record: Envelope, data: RunPaused) -> Held:
    return Held(
        at=data.at,
        since=record.time,
        by=data.by or record.actor.principal,
        via=record.actor.surface,
        reason=data.reason,
    )


def _claimed(run: Run, record: Envelope, data: RunClaimed) -> Changes:
    attempt = Attempt(attempt=data.attempt, host=data.host, claimed_at=record.time)
    return {
        "host": data.host,
        "attempt": data.attempt,
        "attempts": (*run.attempts, attempt),
        "exit": None,
        "step": None,
    }


def _termination(state: RunState, run: Run, record: Envelope, data: RunTerminating) -> Termination:
    """A further order gives the end another purpose; its grace and its clock are those of the first."""
    under_way = state.termination if run.status is Status.TERMINATING else None
    return Termination(
        command_id=record.command_id,
        purpose=data.purpose,
        force=data.method == "force" or (under_way is not None and under_way.force),
        reason=data.reason,
        requested_by=record.actor.principal,
        via=record.actor.surface,
        since=under_way.since if under_way else record.time,
        grace_seconds=under_way.grace_seconds if under_way else data.grace_seconds,
        outcome=data.outcome,
        failure=data.failure,
    )


def _exited(run: Run, record: Envelope, data: ProcessExited) -> Changes:
    if not run.attempts or run.attempts[-1].exit is not None:
        return _NOTHING
    ended_at = run.attempts[-1].ended_at or record.time
    return {"exit": data.exit, "attempts": _last_attempt(run, exit=data.exit, ended_at=ended_at)}


def _gone(run: Run, data: TreeVerifiedGone) -> Changes:
    known = run.attempts[-1].verified_by if run.attempts else ()
    attempts = _last_attempt(run, verified_by=known or data.verified_by)
    return {"attempts": attempts, "kill_receipt": run.kill_receipt or data.receipt}


def _overridden(run: Run, record: Envelope, data: OutcomeOverridden) -> Changes:
    override = Override(
        outcome=data.outcome,
        by=record.actor.principal,
        via=record.actor.surface,
        reason=data.reason,
        at=record.time,
        observed=data.observed,
        detached=data.detached,
    )
    failure = None
    if data.outcome == "failed":
        message = data.reason or f"declared failed by {record.actor.principal}"
        failure = Failure(kind="forced", message=message)
    return {"override": override, "failure": failure, "kill_receipt": data.receipt or run.kill_receipt}


def _last_attempt(run: Run, **changes: Any) -> tuple[Attempt, ...]:
    if not run.attempts:
        return run.attempts
    return (*run.attempts[:-1], run.attempts[-1].model_copy(update=changes))


def _raised(run: Run, condition: Condition) -> Changes:
    others = tuple(c for c in run.conditions if c.type != condition.type)
    return {"conditions": (*others, condition)[-MAX_CONDITIONS:]}


def _survivors_condition(record: Envelope, survivors: tuple[Survivor, ...]) -> Condition:
    named = "; ".join(f"pid {s.pid}: {s.why}" for s in survivors[:10])
    return Condition(type="survivors", since=record.time, detail=f"{len(survivors)} not gone: {named}")


def _leftovers_condition(record: Envelope, data: LeftoversFound) -> Condition:
    what = "being ended" if data.policy == "end" else "waited for"
    named = ", ".join(str(p.pid) for p in data.processes[:10])
    detail = f"main process ended; {len(data.processes)} processes live on and are {what}: pid {named}"
    return Condition(type="leftovers", since=record.time, detail=detail)
