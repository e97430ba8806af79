"""Debugging: breakpoints, stepping, variables. Each answer shows what can be seen where the run is held."""

from typing import Annotated, Any

from pydantic import Field

from mcp_server.results import EvaluationResult, HeldResult
from mcp_server.tools.arguments import RunIdArgument
from mcp_server.tools.call import Call, run_id_of, unknown_run
from mcp_server.waiting import until
from runplane.contract.commands import DebugMode
from runplane.contract.debugging import Variables, shown_value
from runplane.contract.errors import NotFound
from runplane.contract.run import Run, Status

WAIT = 5.0
LIMIT = 20.0
MOST_BYTES = 4_000
"""Of one value: what a model can use."""
WHOLE = 60_000

Scope = Annotated[
    str | None, Field(description="One of inputs, variables, locals. By default the first that has the name.")
]


async def step_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    mode: Annotated[
        DebugMode, Field(description="Where it is held at a line: over, into or out of it.")
    ] = "over",
    timeout_seconds: Annotated[
        float, Field(ge=0, le=60, description="How long to wait until it is held again.")
    ] = LIMIT,
) -> HeldResult:
    """Let a held run go on to the next step it reports, or to the next line where it is held at one.

    The answer shows where it is held then, with its inputs and variables. A run that comes to no further boundary in
    time is answered with status `running`, and is held when it does.
    """
    checked = run_id_of(run_id)
    try:
        before = (await call.client.get_run(checked)).held
        answer = await call.client.step_run(checked, mode=mode)
    except NotFound:
        raise unknown_run(checked) from None
    run = await until(
        call.client,
        checked,
        lambda run: run.status.ended or (run.held is not None and run.held != before),
        timeout=timeout_seconds,
        tell=call.telling("waiting until it is held again", timeout_seconds),
        known=answer.run,
    )
    if run.status is not Status.PAUSED:
        return _result(run, Variables())
    return _result(run, await call.client.variables(run.run_id, limit=MOST_BYTES))


async def set_breakpoint(
    call: Call,
    *,
    run_id: RunIdArgument,
    location: Annotated[str, Field(description="step:NAME, step:* for every step, or FILE:LINE.")],
    condition: Annotated[
        str | None,
        Field(
            max_length=1000,
            description="Hold only where this is true of the step's inputs and the variables, like count > 3.",
        ),
    ] = None,
    clear: Annotated[bool, Field(description="Take the breakpoint at this location away.")] = False,
) -> HeldResult:
    """Hold a run where it comes to a step or a line: before it starts, while it runs or while it is held.

    `breakpoints` are all that are set then. get_workflow_status shows when it is held.
    """
    checked = run_id_of(run_id)
    try:
        run = await call.client.get_run(checked)
    except NotFound:
        raise unknown_run(checked) from None
    wanted: list[str | dict[str, Any]] = [
        _asked(one.location, one.condition) for one in run.breakpoints if one.location != location
    ]
    if not clear:
        wanted.append(_asked(location, condition))
    answer = await call.client.set_breakpoints(checked, wanted, wait=WAIT)
    notes = "".join(f" Note: {note}." for note in answer.notes)
    set_now = ", ".join(one.location for one in answer.run.breakpoints) or "none"
    return HeldResult(
        message=f"Breakpoints of {checked}: {set_now}. It is {answer.run.status}.{notes}",
        run_id=checked,
        status=answer.run.status,
        held=answer.run.held,
        breakpoints=answer.run.breakpoints,
    )


async def inspect_variables(
    call: Call,
    *,
    run_id: RunIdArgument,
    scope: Scope = None,
    name: Annotated[
        str | None, Field(description="One variable, and more of a long value than without.")
    ] = None,
) -> HeldResult:
    """Look at a run's variables: of the step or line it is held at, or as its workflow has last shown them."""
    checked = run_id_of(run_id)
    try:
        run = await call.client.get_run(checked)
    except NotFound:
        raise unknown_run(checked) from None
    limit = WHOLE if name is not None else MOST_BYTES
    return _result(run, await call.client.variables(checked, scope=scope, name=name, limit=limit))


async def set_variable(
    call: Call,
    *,
    run_id: RunIdArgument,
    name: Annotated[str, Field(description="The variable, as inspect_variables shows it.")],
    value: Annotated[Any, Field(description="Its new value, as JSON.")],
    scope: Scope = None,
) -> HeldResult:
    """Change a variable of a run that is held at a step or a line; it goes on with the new value.

    Who changed it, and what it was before, stands in the audit log.
    """
    checked = run_id_of(run_id)
    try:
        await call.client.get_run(checked)
    except NotFound:
        raise unknown_run(checked) from None
    seen = await call.client.set_variable(checked, name, value, scope=scope, wait=WAIT)
    run = await call.client.get_run(checked)
    return _result(
        run, seen, f"{name} of {checked} is changed. Call continue_workflow or step_workflow to go on."
    )


async def evaluate_expression(
    call: Call,
    *,
    run_id: RunIdArgument,
    expression: Annotated[
        str, Field(max_length=4000, description="Python, like len(items) or data['count'].")
    ],
    frame: Annotated[int, Field(ge=0, description="The frame of its stack, 0 for the innermost.")] = 0,
) -> EvaluationResult:
    """Evaluate an expression in a Python program that is held at a line. It may change the program.

    What was evaluated, and by whom, stands in the audit log.
    """
    checked = run_id_of(run_id)
    try:
        found = await call.client.evaluate(checked, expression, frame=frame, wait=LIMIT)
    except NotFound:
        raise unknown_run(checked) from None
    said = (
        f"{expression[:200]} is {shown_value(found.result)} ({found.result.type})."
        if found.result is not None
        else ""
    )
    if found.error is not None:
        said = f"{expression[:200]} could not be evaluated: {found.error.strip().splitlines()[-1][:500]}"
    return EvaluationResult(
        message=said or f"The host of {checked} has not answered yet: look at get_workflow_events.",
        run_id=checked,
        expression=expression,
        result=found.result,
        members=found.members,
        error=found.error,
    )


def _asked(location: str, condition: str | None) -> dict[str, Any]:
    return {"location": location, "condition": condition} if condition else {"location": location}


def _result(run: Run, seen: Variables, said: str | None = None) -> HeldResult:
    return HeldResult(
        message=said or _said(run, seen),
        run_id=run.run_id,
        status=run.status,
        held=run.held,
        breakpoints=run.breakpoints,
        scopes=seen.scopes,
        stack=seen.stack,
    )


def _said(run: Run, seen: Variables) -> str:
    shown = "; ".join(
        f"{scope.name}: {', '.join(one.name for one in scope.variables)}" for scope in seen.scopes
    )
    if run.status.ended:
        return f"{run.run_id} is {run.status}: it is over."
    if run.held is not None and run.held.at is not None:
        return (
            f"{run.run_id} is held at {run.held.at} ({run.held.reason}). It shows {shown or 'no variables'}. Call "
            "set_variable to change one, step_workflow or continue_workflow to go on."
        )
    if run.held is not None:
        return (
            f"{run.run_id} is paused wherever it was: all of its processes stand still. step_workflow holds it at its "
            f"next step. It has last shown {shown or 'no variables'}."
        )
    return (
        f"{run.run_id} is {run.status} and not held. It has last shown {shown or 'no variables'}. Call set_breakpoint "
        "to hold it at a step."
    )
