"""What operators want of a run that can be held, and what it shows of itself, folded from its story.

:func:`asked_of` is what the workflow is told of it (control.json); permits to go on are the agent's to count.
"""

from typing import Any, assert_never

from runplane.contract.debugging import INPUTS, VARIABLES, Scope, scope_of, type_of
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    BreakpointsSet,
    RunClaimed,
    RunContinued,
    RunPaused,
    VariablesReported,
    VariablesSet,
)
from runplane.contract.run import Run
from runplane.core.state import Debugging, RunState

STEP = "step:"

DebuggingEvent = RunClaimed | RunPaused | RunContinued | BreakpointsSet | VariablesReported | VariablesSet


def debugged(now: Debugging, record: Envelope, data: DebuggingEvent) -> Debugging:
    """What the record changes. A new attempt begins with the breakpoints only."""
    match data:
        case RunClaimed():
            return Debugging(breakpoints_by=now.breakpoints_by)
        case BreakpointsSet():
            return now.model_copy(update={"breakpoints_by": record.actor})
        case RunPaused():
            # Where it was stopped anywhere it shows nothing new: what it last told stays.
            seen = {"scopes": data.scopes, "stack": data.stack} if data.at is not None else {}
            stop = now.stop if data.stop is None else data.stop
            return now.model_copy(update={"input_edits": {}, "stop": stop, **seen})
        case RunContinued():
            kept = tuple(scope for scope in now.scopes if scope.name == VARIABLES)
            return now.model_copy(
                update={"until": data.until, "until_by": record.actor, "scopes": kept, "stack": ()}
            )
        case VariablesReported():
            others = tuple(scope for scope in now.scopes if scope.name != VARIABLES)
            return now.model_copy(update={"scopes": (*others, scope_of(VARIABLES, data.values))})
        case VariablesSet():
            return _changed(now, data)
        case _:
            assert_never(data)


def asked_of(state: RunState) -> dict[str, Any]:
    """What is asked of the workflow at its boundaries: the content of control.json but for its permits."""
    now, run = state.debugging, state.run
    points = run.breakpoints if run is not None and not run.status.ended else ()
    return {
        "breakpoints": [
            {"location": one.location, "condition": one.condition}
            for one in points
            if one.location.startswith(STEP)
        ],
        "paused": now.until == "boundary" or _is_held_at_a_step(run),
        "variables": now.edits,
        "inputs": now.input_edits,
        "debug": state.spec is not None and state.spec.debug and not (run is not None and run.status.ended),
    }


def is_line(location: str) -> bool:
    """Whether this place is a line of a program; else it is a step's boundary."""
    return not location.startswith(STEP)


def asks_anything(asked: dict[str, Any]) -> bool:
    """Whether a workflow that does not look would do otherwise."""
    return any(asked.values())


def _is_held_at_a_step(run: Run | None) -> bool:
    """It stays there until it is told to go on, whatever becomes of its breakpoint."""
    held = run.held if run is not None else None
    return held is not None and held.at is not None and held.at.startswith(STEP)


def _changed(now: Debugging, data: VariablesSet) -> Debugging:
    update: dict[str, Any] = {
        "scopes": tuple(
            _with(scope, data.values) if scope.name == data.scope else scope for scope in now.scopes
        )
    }
    if data.scope == VARIABLES:
        update["edits"] = now.edits | data.values
    elif data.scope == INPUTS:
        update["input_edits"] = now.input_edits | data.values
    return now.model_copy(update=update)


def _with(scope: Scope, values: dict[str, Any]) -> Scope:
    changed = tuple(
        one.model_copy(
            update={
                "value": values[one.name],
                "type": type_of(values[one.name]),
                "truncated": False,
                "bytes": None,
            }
        )
        if one.name in values
        else one
        for one in scope.variables
    )
    return scope.model_copy(update={"variables": changed})
