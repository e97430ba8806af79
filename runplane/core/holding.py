"""What follows from the orders by which a run is held, looked into and let go on. Part of ``decide``."""

from runplane.contract.commands import PauseRun, SetBreakpoints, SetVariables, StepRun
from runplane.contract.events import BreakpointsSet, RunContinued, RunPaused, VariablesSet
from runplane.contract.run import Run, Status
from runplane.core.debugging import is_line
from runplane.core.rejection import Decision, reject
from runplane.core.state import RunState


def decide_pause(run: Run, command: PauseRun) -> Decision:
    """Nothing to do where it is held already. The fact is told only once every process stands still."""
    if run.status is Status.PAUSED:
        return ()
    if run.status is not Status.RUNNING:
        return reject(
            "not_running",
            f"{run.run_id} is {run.status}: only a running run can be paused",
            status=run.status,
        )
    return (RunPaused(reason=command.reason),)


def decide_continue(run: Run) -> Decision:
    """The fact is on disk before the run goes on."""
    if run.status is not Status.PAUSED:
        return reject(
            "not_paused", f"{run.run_id} is {run.status}: only a paused run can go on", status=run.status
        )
    return (RunContinued(),)


def decide_step(run: Run, command: StepRun) -> Decision:
    """To the next boundary, or by lines where it is held at one."""
    if run.status is not Status.PAUSED:
        return reject(
            "not_paused",
            f"{run.run_id} is {run.status}: only a held run can be stepped. Hold it with runplane pause {run.run_id}, "
            f"or where it comes to a step with runplane break {run.run_id} 'step:*'",
            status=run.status,
        )
    is_at_a_line = run.held is not None and run.held.at is not None and is_line(run.held.at)
    return (RunContinued(until=command.mode if is_at_a_line else "boundary"),)


def decide_breakpoints(run: Run, command: SetBreakpoints) -> Decision:
    """They replace those there are, from before the start to the beginning of the end."""
    if run.status.ended or run.status is Status.TERMINATING:
        how = "has ended as" if run.status.ended else "is"
        return reject(
            "already_ended",
            f"{run.run_id} {how} {run.status}: it comes to no breakpoint any more",
            status=run.status,
        )
    if run.breakpoints == command.breakpoints:
        return ()
    return (BreakpointsSet(breakpoints=command.breakpoints),)


def decide_evaluate(run: Run) -> Decision:
    """What comes of it is told later, by the host."""
    if run.status is not Status.PAUSED or run.held is None or run.held.at is None or not is_line(run.held.at):
        return reject(
            "not_held_at_a_line",
            f"{run.run_id} is not held at a line of a Python program, so nothing can be evaluated there: see "
            f"runplane break {run.run_id} FILE:LINE",
            status=run.status,
        )
    return ()


def decide_variables(state: RunState, run: Run, command: SetVariables) -> Decision:
    """Every name has to be there, in one scope; else nothing is changed."""
    if run.status is not Status.PAUSED or run.held is None or run.held.at is None:
        where = "was stopped anywhere" if run.status is Status.PAUSED else f"is {run.status}"
        return reject(
            "not_held",
            f"{run.run_id} {where}: variables are changed where a run is held at a breakpoint. "
            f"runplane break {run.run_id} 'step:*' holds it at its next step",
            status=run.status,
        )
    scopes = [one for one in state.debugging.scopes if command.scope in (None, one.name)]
    if not scopes:
        there = ", ".join(one.name for one in state.debugging.scopes) or "none"
        return reject(
            "scope_not_found", f"scope={command.scope!r}: {run.run_id} shows these scopes here: {there}"
        )
    names = command.values.keys()
    for scope in scopes:
        found = {name: variable for name in names if (variable := scope.variable(name)) is not None}
        if found.keys() == names:
            before = {name: variable.value for name, variable in found.items()}
            return (VariablesSet(scope=scope.name, values=command.values, before=before),)
    there = ", ".join(f"{scope.name}: {', '.join(one.name for one in scope.variables)}" for scope in scopes)
    missing = next(name for name in names if not any(scope.variable(name) for scope in scopes[:1]))
    return reject(
        "variable_not_found",
        f"{run.run_id} shows no variable {missing!r} where it is held ({there[:500]}): see runplane vars {run.run_id}",
        variable=missing,
    )
