"""Runs that are held, looked into and let go on: pause, continue, step, breakpoints, variables."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import BreakpointsAnswer, Evaluation, Mutation
from control_plane.api.effects import effect, mutation, run_of
from control_plane.api.parts import (
    BASE,
    ActorOf,
    ContextOf,
    KeyOf,
    OnceOf,
    Reflects,
    RunIdOf,
    WaitOf,
    answer,
    body_of,
    only,
    problems,
    request_body,
)
from control_plane.command_side import (
    Accepted,
    BreakpointsRequest,
    ContinueRequest,
    EvaluateRequest,
    PauseRequest,
    StepRequest,
    VariableRequest,
    breakpoints_of,
)
from control_plane.context import Context
from control_plane.read_model import EventFilter
from control_plane.showing import chosen, notes_on
from control_plane.waiting import ENDINGS, PAUSES
from runplane.contract.debugging import Variables
from runplane.contract.events import ExpressionEvaluated, RunContinued, VariablesSet
from runplane.contract.run import Run, Status
from runplane.contract.value import Value
from runplane.core.state import Debugging

router = APIRouter(prefix=BASE, tags=["debugging"])


@router.post(
    "/runs/{run_id}/pause",
    summary="Pause a run",
    status_code=202,
    response_model=Mutation,
    responses={200: {"model": Mutation, "description": "The run is paused"}, **problems(404, 409, 503)},
    openapi_extra=request_body(PauseRequest, required=False),
)
async def pause_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[PauseRequest, Depends(body_of(PauseRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Stop every process of a running run where it is. Its status is `paused` once all of them stand still."""

    async def pause() -> Response:
        accepted = await context.command_side.pause_run(run_id, body, actor, key)
        await effect(context, accepted, run_id, reached=_is_paused, types=PAUSES, wait=wait)
        return mutation(context, accepted, _is_paused)

    return await once.answer(request, actor.principal, key, pause)


@router.post(
    "/runs/{run_id}/continue",
    summary="Let a paused run go on",
    status_code=202,
    response_model=Mutation,
    responses={200: {"model": Mutation, "description": "The run goes on"}, **problems(404, 409, 503)},
    openapi_extra=request_body(ContinueRequest, required=False),
)
async def continue_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[ContinueRequest, Depends(body_of(ContinueRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Let every process of a paused run go on. The time it was held counts for no timeout."""

    async def go_on() -> Response:
        accepted = await context.command_side.continue_run(run_id, body, actor, key)

        def goes_on(run: Run) -> bool:
            return not _is_paused(run) or _went_on(context, accepted)

        await effect(context, accepted, run_id, reached=goes_on, types=PAUSES, wait=wait)
        return mutation(context, accepted, goes_on)

    return await once.answer(request, actor.principal, key, go_on)


@router.post(
    "/runs/{run_id}/step",
    summary="Let a held run go on to its next boundary",
    status_code=202,
    response_model=Mutation,
    responses={200: {"model": Mutation, "description": "The run is held again"}, **problems(404, 409, 503)},
    openapi_extra=request_body(StepRequest, required=False),
)
async def step_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[StepRequest, Depends(body_of(StepRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Let a held run go on to the next step it reports, or from line to line where it is held at one."""

    async def step() -> Response:
        accepted = await context.command_side.step_run(run_id, body, actor, key)

        def held_again(run: Run) -> bool:
            return run.status.ended or (_is_paused(run) and _went_on(context, accepted))

        await effect(context, accepted, run_id, reached=held_again, types=PAUSES, wait=wait)
        return mutation(context, accepted, held_again)

    return await once.answer(request, actor.principal, key, step)


@router.put(
    "/runs/{run_id}/breakpoints",
    summary="Set a run's breakpoints",
    status_code=202,
    response_model=BreakpointsAnswer,
    responses={200: {"model": BreakpointsAnswer, "description": "They are set"}, **problems(404, 409, 503)},
    openapi_extra=request_body(BreakpointsRequest, required=True),
)
async def set_breakpoints(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[BreakpointsRequest, Depends(body_of(BreakpointsRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Replace the places where the run is to be held, before it starts, while it runs or while it is held.

    `notes` say what is doubtful of a breakpoint: a step that no run of the workflow has ever reported, say.
    """

    async def put() -> Response:
        accepted = await context.command_side.set_breakpoints(run_id, body, actor, key)
        wanted = breakpoints_of(body.breakpoints)

        def are_set(run: Run) -> bool:
            return run.breakpoints == wanted

        await effect(
            context, accepted, run_id, reached=are_set, types={*ENDINGS, "BreakpointsSet"}, wait=wait
        )
        run = run_of(context, run_id)
        notes = notes_on(context.read_model, run, wanted)
        document = BreakpointsAnswer(command_id=accepted.command_id, run=run, notes=notes)
        return answer(document, 200 if are_set(run) else 202)

    return await once.answer(request, actor.principal, key, put)


@router.get(
    "/runs/{run_id}/variables",
    summary="Look at a run's variables",
    response_model=Variables,
    responses=problems(404, 503),
    dependencies=[only("scope", "name", "limit"), Reflects],
)
async def get_variables(
    context: ContextOf,
    run_id: RunIdOf,
    scope: Annotated[str | None, Query(max_length=200, description="Only this scope")] = None,
    name: Annotated[str | None, Query(max_length=200, description="Only the variable of this name")] = None,
    limit: Annotated[
        int, Query(ge=16, le=2**20, description="Bytes of JSON that one value may take; longer ones are cut")
    ] = 2_000,
) -> Response:
    """What the run shows of itself where it is held, or what its workflow has last shown while it goes on."""
    run = run_of(context, run_id)
    state = context.read_model.state(run_id)
    debugging = state.debugging if state is not None else Debugging()
    at = run.held.at if run.held is not None else None
    return answer(chosen(run_id, debugging, at, scope=scope, name=name, limit=limit))


@router.patch(
    "/runs/{run_id}/variables",
    summary="Change a variable of a held run",
    status_code=202,
    response_model=Variables,
    responses={200: {"model": Variables, "description": "It is changed"}, **problems(404, 409, 503)},
    openapi_extra=request_body(VariableRequest, required=True),
)
async def set_variable(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[VariableRequest, Depends(body_of(VariableRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Change a variable where the run is held. Its workflow goes on with the new value; who changed it is logged."""

    async def patch() -> Response:
        accepted = await context.command_side.set_variable(run_id, body, actor, key)

        def is_set(_run: Run) -> bool:
            return _told(context, accepted, VariablesSet)

        await effect(context, accepted, run_id, reached=is_set, types={*ENDINGS, "VariablesSet"}, wait=wait)
        run = run_of(context, run_id)
        state = context.read_model.state(run_id)
        debugging = state.debugging if state is not None else Debugging()
        at = run.held.at if run.held is not None else None
        document = chosen(run_id, debugging, at, scope=None, name=None, limit=2_000)
        return answer(document, 200 if is_set(run) else 202)

    return await once.answer(request, actor.principal, key, patch)


@router.post(
    "/runs/{run_id}/evaluate",
    summary="Evaluate an expression where a run is held at a line",
    status_code=202,
    response_model=Evaluation,
    responses={200: {"model": Evaluation, "description": "It was evaluated"}, **problems(404, 409, 503)},
    openapi_extra=request_body(EvaluateRequest, required=True),
)
async def evaluate(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[EvaluateRequest, Depends(body_of(EvaluateRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Evaluate an expression in the program, which it may change: it stands in the log with who asked."""

    async def post() -> Response:
        accepted = await context.command_side.evaluate(run_id, body, actor, key)

        def is_done(_run: Run) -> bool:
            return _told(context, accepted, ExpressionEvaluated)

        await effect(
            context, accepted, run_id, reached=is_done, types={*ENDINGS, "ExpressionEvaluated"}, wait=wait
        )
        caused = context.read_model.events(EventFilter(command_id=accepted.command_id))
        told = next((r.data for _, r in caused if isinstance(r.data, ExpressionEvaluated)), None)
        document = Evaluation(
            command_id=accepted.command_id,
            run_id=run_id,
            expression=body.expression,
            result=told.result if told is not None else None,
            members=told.members if told is not None else (),
            error=told.error if told is not None else None,
        )
        return answer(document, 200 if told is not None else 202)

    return await once.answer(request, actor.principal, key, post)


def _is_paused(run: Run) -> bool:
    return run.status is Status.PAUSED


def _went_on(context: Context, accepted: Accepted) -> bool:
    return _told(context, accepted, RunContinued)


def _told(context: Context, accepted: Accepted, fact: type[Value]) -> bool:
    """Whether the order has led to such a fact."""
    caused = context.read_model.events(EventFilter(command_id=accepted.command_id))
    return any(isinstance(record.data, fact) for _, record in caused)
