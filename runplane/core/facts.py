"""What a record says of a run beside its status: who holds it, how far it is, how its processes ended.

Called only for records that nothing is objected to. Where a fact is told twice, the first telling stays.
"""

from typing import assert_never

from runplane.contract.commands import (
    ContinueRun,
    DecideRun,
    DiagnoseRun,
    EndAttempt,
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
    AttemptFailed,
    BreakpointsSet,
    CheckpointRefused,
    CheckpointsPruned,
    CheckpointStored,
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
    RecoveryStarted,
    ReportSetAside,
    RestartAccepted,
    RetryScheduled,
    RunAdmitted,
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
from runplane.contract.run import (
    Checkpoint,
    Condition,
    Failure,
    Held,
    Override,
    Run,
    Status,
    Step,
    Survivor,
)
from runplane.core import attempts
from runplane.core.attempts import Changes
from runplane.core.debugging import debugged
from runplane.core.forecast import progressed
from runplane.core.objections import is_of_an_attempt_that_is_over
from runplane.core.state import Debugging, RunState, Termination

MAX_CONDITIONS = 20
"""Conditions kept; the oldest give way."""

_NOTHING: Changes = {}


def tell(state: RunState, run: Run, record: Envelope) -> tuple[Changes, Changes]:
    """What the record changes of the run, and of the state around it; the status apart."""
    data = record.data
    if is_of_an_attempt_that_is_over(run, record):
        return attempts.told_late(run, record), _NOTHING
    match data:
        case AttemptFailed():
            bound_to = state.spec.host if state.spec is not None else None
            kept = Debugging(breakpoints_by=state.debugging.breakpoints_by)
            return attempts.failed(run, record, data, bound_to), {"termination": None, "debugging": kept}
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
            return attempts.claimed(run, record, data)
        case ProcessSpawned():
            told = attempts.last_changed(
                run, main=data.main, mechanism=data.mechanism, started_at=record.time
            )
            return {"attempts": told, "started_at": run.started_at or record.time}
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
            return attempts.exited(run, record, data)
        case SurvivorsFound():
            return _raised(run, _survivors_condition(record, data.survivors))
        case LeftoversFound():
            return _raised(run, _leftovers_condition(record, data))
        case TreeVerifiedGone():
            return attempts.gone(run, data)
        case ConditionRaised():
            return _raised(run, data.condition)
        case ConditionCleared():
            return {"conditions": tuple(c for c in run.conditions if c.type != data.type)}
        case RunKilled():
            return {"kill_receipt": data.receipt, "failure": None}
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
            told = run.attempts
            if told and data.held_seconds:
                told = attempts.last_changed(run, held_seconds=told[-1].held_seconds + data.held_seconds)
            return {"held": None, "attempts": told}
        case BreakpointsSet():
            return {"breakpoints": data.breakpoints}
        case VariablesReported() | VariablesSet():
            return _NOTHING  # they are told of the state around the run
        case CheckpointStored():
            return {"checkpoint": Checkpoint(id=data.digest, at=record.time)}
        case RunAdmitted():
            return {"queued": False}
        case RetryScheduled():
            return attempts.scheduled(run, data)
        case RecoveryStarted():
            return {"recovered_by": run.recovered_by or data.run_id}
        case RunCompleted() | RunCanceled() | RunReachable():
            return _NOTHING  # they move the status, which is all they say
        case RunUnreachable() | RunTerminating() | TerminationEscalated() | AttemptFailed():
            return _NOTHING  # they are told of the state around the run
        case (
            CommandRejected()
            | ReportSetAside()
            | ExpressionEvaluated()
            | DiagnosisTaken()
            | CheckpointRefused()
            | CheckpointsPruned()
            | NotificationDelivered()
            | NotificationFailed()
        ):
            return _NOTHING  # for the audit log
        case StartRun() if data.resume is not None and not run.attempts:
            return {"checkpoint": data.resume.checkpoint}
        case StartRun() | KillRun() | RestartRun() | ForceCompleteRun() | EndAttempt() | DecideRun():
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
