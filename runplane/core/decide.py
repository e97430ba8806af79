"""``decide(state, command, now) -> events``: what follows from an order, or why it is refused.

Whoever owns the run decides: its host while one holds it, the plane otherwise (:func:`owner`). The answer is
the facts that are true at once; what takes time (ending a tree) is told by later facts.
"""

from datetime import datetime
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
from runplane.contract.events import (
    OutcomeOverridden,
    Purpose,
    RestartAccepted,
    RunTerminating,
    TerminationEscalated,
)
from runplane.contract.run import Run, Status
from runplane.core import holding, recovering
from runplane.core.rejection import Decision, Rejection, reject
from runplane.core.state import RunState


def owner(state: RunState, command: RunCommand | None = None) -> str | None:
    """The host that decides about the run, or None where the plane does.

    The plane decides where no host holds the run (pending, ended), and declares an outcome (ForceCompleteRun)
    where the host is away. Every other order to a host that is away waits for it.
    """
    run = state.run
    if run is None or run.status.ended or run.status is Status.PENDING:
        return None
    if run.status is Status.UNREACHABLE and isinstance(command, ForceCompleteRun):
        return None
    return run.host


def decide(state: RunState, command: RunCommand, now: datetime) -> Decision:
    """What follows from the command; an empty tuple where it is already so."""
    run = state.run
    if run is None:
        if isinstance(command, StartRun):
            return ()
        return reject("unknown_run", f"there is no run {command.run_id}: see runplane ps --all")
    expires_at = getattr(command, "expires_at", None)
    if expires_at is not None and now >= expires_at:
        return reject(
            "expired", f"the order for {run.run_id} was only good until {expires_at.isoformat()}: ask again"
        )
    match command:
        case StartRun():
            return _decide_start(run)
        case KillRun():
            return _decide_kill(state, run, command, now)
        case RestartRun():
            return _decide_restart(state, run, command, now)
        case ForceCompleteRun():
            return _decide_force_complete(state, run, command)
        case EndAttempt():
            return recovering.decide_end_of_attempt(state, run, command)
        case DecideRun():
            return recovering.decide_course(state, run, command, now)
        case DiagnoseRun():
            return _decide_diagnose(run)
        case PauseRun():
            return holding.decide_pause(run, command)
        case ContinueRun():
            return holding.decide_continue(run)
        case StepRun():
            return holding.decide_step(run, command)
        case SetBreakpoints():
            return holding.decide_breakpoints(run, command)
        case EvaluateExpression():
            return holding.decide_evaluate(run)
        case SetVariables():
            return holding.decide_variables(state, run, command)
        case _:
            assert_never(command)


def grace_of(state: RunState, asked: float | None) -> float:
    """The grace in seconds: the order's, or else the workflow's."""
    if asked is not None:
        return max(0.0, asked)
    return state.spec.kill.grace if state.spec is not None else 10.0


def _decide_start(run: Run) -> Decision:
    if run.status is not Status.PENDING:
        return reject(
            "already_started", f"{run.run_id} is {run.status}: it is started once", status=run.status
        )
    return ()


def _decide_kill(state: RunState, run: Run, command: KillRun, now: datetime) -> Decision:
    if run.status.ended:
        return reject(
            "already_ended",
            f"{run.run_id} had already ended as {run.status}: there is nothing to kill",
            status=run.status,
        )
    if run.status is Status.PENDING:
        return (recovering.ended_while_pending(run, now, command.reason),)
    if run.status is Status.TERMINATING:
        return _escalation(state, command)
    return (_terminating(state, command, "kill"),)


def _decide_restart(state: RunState, run: Run, command: RestartRun, now: datetime) -> Decision:
    if run.restarted_as is not None:
        if run.restarted_as == command.new_run_id:
            return ()
        return reject(
            "already_restarted",
            f"{run.run_id} was already restarted as {run.restarted_as}: restart that one",
            new_run_id=run.restarted_as,
        )
    accepted = RestartAccepted(new_run_id=command.new_run_id, reason=command.reason)
    if run.status.ended:
        return (accepted,)
    if run.status is Status.PENDING:
        # The end comes first: between the two facts a host could still claim the run.
        why = command.reason or f"restarted as {command.new_run_id}"
        return (recovering.ended_while_pending(run, now, why), accepted)
    if run.status is Status.TERMINATING:
        return (accepted, *_escalation(state, command))
    return (accepted, _terminating(state, command, "restart"))


def _escalation(state: RunState, command: KillRun | RestartRun) -> tuple[TerminationEscalated, ...]:
    """A second order cuts the grace short, once, and only if it is forced."""
    if not command.force or (state.termination is not None and state.termination.force):
        return ()
    return (TerminationEscalated(reason=command.reason),)


def _decide_force_complete(state: RunState, run: Run, command: ForceCompleteRun) -> Decision:
    if run.status.ended:
        return _decide_replace(run, command)
    if run.status is Status.PENDING:
        seen = recovering.seen_while_pending(run)
        return (_override(command, observed=seen),)
    if run.status is Status.UNREACHABLE:
        seen = f"host {run.host} was not heard from; its processes may be alive until it returns"
        return (_override(command, observed=seen),)
    if command.detach:
        return (_override(command, observed=f"detached while {run.status}; its processes were left alive"),)
    declared = state.termination.outcome if state.termination is not None else None
    if run.status is Status.TERMINATING and declared is not None:
        if declared == command.outcome:
            return ()
        if not command.replace:
            return reject(
                "already_declared",
                f"{run.run_id} is being ended as {declared}: to declare it {command.outcome} all the same, "
                f"add --replace (replace: true)",
                status=run.status,
            )
    return (_terminating(state, command, "force_complete"),)


def _decide_replace(run: Run, command: ForceCompleteRun) -> Decision:
    if run.override is not None and run.override.outcome == command.outcome:
        return ()
    if not command.replace:
        how = f"ended as {run.status}"
        if run.override is not None:
            how = f"was declared {run.override.outcome} by {run.override.by}"
        return reject(
            "already_ended",
            f"{run.run_id} {how}: to declare it {command.outcome} all the same, "
            f"add --replace (replace: true)",
            status=run.status,
        )
    return (_override(command, observed=f"had ended as {run.status}", replaced=True),)


def _decide_diagnose(run: Run) -> Decision:
    """What is seen is told later, by whoever can look; where there are no processes, nobody can."""
    if run.status.ended or run.status is Status.PENDING:
        return reject(
            "no_processes", f"{run.run_id} is {run.status}: it has no processes to look at", status=run.status
        )
    return ()


def _override(command: ForceCompleteRun, *, observed: str, replaced: bool = False) -> OutcomeOverridden:
    return OutcomeOverridden(
        outcome=command.outcome,
        reason=command.reason,
        observed=observed,
        detached=command.detach and not replaced,
        replaced=replaced,
    )


def _terminating(
    state: RunState, command: KillRun | RestartRun | ForceCompleteRun, purpose: Purpose
) -> RunTerminating:
    if isinstance(command, ForceCompleteRun):
        return RunTerminating(
            purpose=purpose,
            method="graceful",
            grace_seconds=grace_of(state, None),
            reason=command.reason,
            outcome=command.outcome,
        )
    return RunTerminating(
        purpose=purpose,
        method="force" if command.force else "graceful",
        grace_seconds=0.0 if command.force else grace_of(state, command.grace_seconds),
        reason=command.reason,
    )


__all__ = ["Decision", "Rejection", "decide", "grace_of", "owner"]
