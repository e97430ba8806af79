"""Runs: start, list, look at, kill, restart, force-complete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import Mutation, Restart, RunList
from control_plane.api.effects import effect, mutation, run_of
from control_plane.api.parts import (
    BASE,
    MAX_POSITION,
    ActorOf,
    ContextOf,
    KeyOf,
    MomentOf,
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
    BulkKill,
    DecideRequest,
    ForceCompleteRequest,
    KillRequest,
    KillRunsRequest,
    RestartRequest,
    StartRequest,
)
from control_plane.context import Context
from control_plane.read_model import RunFilter
from control_plane.waiting import BEGINNINGS, ENDINGS
from runplane.contract.errors import InvalidInput, NotFound
from runplane.contract.events import RunClaimed
from runplane.contract.run import AWAITING_DECISION, Run, Status
from runplane.core.state import view

router = APIRouter(prefix=BASE, tags=["runs"])

SORTS = ("created_at", "started_at", "ended_at", "status", "workflow", "host", "run_id")
_STATUS_DESCRIPTION = f"One or more of {', '.join(Status)}: given several times, or separated by commas"


@router.post(
    "/runs",
    summary="Start a run",
    status_code=201,
    response_model=Run,
    responses={
        202: {"model": Run, "description": "Accepted; not started within `wait`"},
        **problems(404, 409, 503),
    },
    openapi_extra=request_body(StartRequest, required=True),
)
async def start_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    body: Annotated[StartRequest, Depends(body_of(StartRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Start a run of a workflow. The run is pending until a host with a free slot has claimed it."""

    async def start() -> Response:
        accepted = await context.command_side.start_run(body, actor, key)
        reached = await effect(
            context, accepted, accepted.run_id, reached=_has_begun, types=BEGINNINGS, wait=wait
        )
        run = run_of(context, accepted.run_id) if wait else _run_as_accepted(context, accepted)
        location = {"Location": f"{BASE}/runs/{accepted.run_id}"}
        return answer(run, 201 if reached or not wait else 202, location)

    return await once.answer(request, actor.principal, key, start)


@router.get(
    "/runs",
    summary="List runs",
    response_model=RunList,
    responses=problems(503),
    dependencies=[
        only("status", "workflow", "host", "stuck", "started_after", "q", "sort", "limit", "cursor"),
        Reflects,
    ],
)
async def list_runs(
    *,
    context: ContextOf,
    status: Annotated[
        list[str],
        Query(
            description=_STATUS_DESCRIPTION,
            json_schema_extra={"items": {"enum": [*Status, AWAITING_DECISION]}},
        ),
    ] = [],  # noqa: B006 — FastAPI copies defaults
    workflow: Annotated[str | None, Query(max_length=200)] = None,
    host: Annotated[str | None, Query(max_length=200)] = None,
    stuck: Annotated[bool | None, Query(description="Runs that are stuck, or those that are not")] = None,
    started_after: Annotated[MomentOf | None, Query(examples=["2025-01-31T09:30:00Z"])] = None,
    q: Annotated[
        str | None,
        Query(max_length=200, description="Looked for in id, workflow, host, who asked, and params"),
    ] = None,
    sort: Annotated[
        str,
        Query(
            description="`-` before a field puts the greatest first",
            json_schema_extra={"enum": [sign + name for name in SORTS for sign in ("", "-")]},
        ),
    ] = "-created_at",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next_cursor` of the page before")
    ] = None,
) -> Response:
    """List runs, a page at a time."""
    page = context.read_model.runs(
        RunFilter(
            status=_statuses([name for name in _names(status) if name != AWAITING_DECISION]),
            awaiting=AWAITING_DECISION in _names(status),
            workflow=workflow,
            host=host,
            stuck=stuck,
            started_after=started_after,
            q=q,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )
    )
    return answer(RunList(items=page.items, next_cursor=page.next_cursor, total=page.total))


@router.post(
    "/runs:kill",
    summary="Kill many runs",
    status_code=202,
    response_model=BulkKill,
    responses={200: {"model": BulkKill, "description": "A dry run, or nothing matched"}, **problems(503)},
    openapi_extra=request_body(KillRunsRequest, required=True),
)
async def kill_runs(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    body: Annotated[KillRunsRequest, Depends(body_of(KillRunsRequest))],
    key: KeyOf = None,
) -> Response:
    """Kill every open run that the selector matches. Each run has its own result."""

    async def kill() -> Response:
        killed = await context.command_side.kill_runs(body, actor, key)
        return answer(killed, 200 if killed.dry_run or not killed.results else 202)

    return await once.answer(request, actor.principal, key, kill)


@router.get(
    "/runs/{run_id}",
    summary="Look at a run",
    response_model=Run,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def get_run(
    context: ContextOf,
    run_id: RunIdOf,
    at_seq: Annotated[
        int | None, Query(ge=0, le=MAX_POSITION, description="As the run was at this log position")
    ] = None,
    at: Annotated[
        MomentOf | None, Query(description="As the run was at this moment", examples=["2025-01-31T09:30:00Z"])
    ] = None,
) -> Response:
    """A run as it is, or as it was at a log position or a moment."""
    if at_seq is None and at is None:
        return answer(run_of(context, run_id))
    run_of(context, run_id)
    run = view(context.read_model.state_at(run_id, at_seq, at))
    if run is None:
        when = f"log position {at_seq}" if at_seq is not None else f"{at}"
        raise NotFound(f"{run_id} did not exist yet at {when}", code="run_not_found", run_id=run_id)
    return answer(run)


@router.post(
    "/runs/{run_id}/kill",
    summary="Kill a run",
    status_code=202,
    response_model=Mutation,
    responses={200: {"model": Mutation, "description": "The run has ended"}, **problems(404, 409, 503)},
    openapi_extra=request_body(KillRequest, required=False),
)
async def kill_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[KillRequest, Depends(body_of(KillRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """End the run's whole process tree; the receipt in the run is the proof. A pending run is canceled."""

    async def kill() -> Response:
        accepted = await context.command_side.kill_run(run_id, body, actor, key)
        await effect(
            context, accepted, run_id, reached=lambda run: run.status.ended, types=ENDINGS, wait=wait
        )
        return mutation(context, accepted)

    return await once.answer(request, actor.principal, key, kill)


@router.post(
    "/runs/{run_id}/restart",
    summary="Restart a run",
    status_code=202,
    response_model=Restart,
    responses={200: {"model": Restart, "description": "The new run has begun"}, **problems(404, 409, 503)},
    openapi_extra=request_body(RestartRequest, required=False),
)
async def restart_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[RestartRequest, Depends(body_of(RestartRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """End the run if it is alive, then start the same again under a new id. A run is restarted once."""

    async def restart() -> Response:
        accepted = await context.command_side.restart_run(run_id, body, actor, key)
        new_run_id = accepted.new_run_id or ""
        reached = await effect(context, accepted, new_run_id, reached=_has_begun, types=BEGINNINGS, wait=wait)
        document = Restart(
            command_id=accepted.command_id,
            run_id=run_id,
            new_run_id=new_run_id,
            run=run_of(context, run_id),
            new_run=run_of(context, new_run_id),
        )
        return answer(document, 200 if reached and wait else 202)

    return await once.answer(request, actor.principal, key, restart)


@router.post(
    "/runs/{run_id}/force-complete",
    summary="Declare a run's outcome",
    status_code=202,
    response_model=Mutation,
    responses={200: {"model": Mutation, "description": "The outcome stands"}, **problems(404, 409, 503)},
    openapi_extra=request_body(ForceCompleteRequest, required=False),
)
async def force_complete_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[ForceCompleteRequest, Depends(body_of(ForceCompleteRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Declare the outcome. The tree is ended first, unless `detach`; an ended run's outcome moves with `replace`."""

    async def force_complete() -> Response:
        accepted = await context.command_side.force_complete_run(run_id, body, actor, key)

        def declared(run: Run) -> bool:
            return run.status.ended and run.override is not None and run.override.outcome == body.outcome

        await effect(context, accepted, run_id, reached=declared, types=ENDINGS, wait=wait)
        return mutation(context, accepted, declared)

    return await once.answer(request, actor.principal, key, force_complete)


@router.post(
    "/runs/{run_id}/decide",
    summary="Decide what becomes of a run whose attempt failed",
    status_code=202,
    response_model=Mutation,
    responses={
        200: {"model": Mutation, "description": "The run goes on, or has ended"},
        **problems(404, 409, 503),
    },
    openapi_extra=request_body(DecideRequest, required=True),
)
async def decide_run(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    run_id: RunIdOf,
    body: Annotated[DecideRequest, Depends(body_of(DecideRequest))],
    wait: WaitOf = 0.0,
    key: KeyOf = None,
) -> Response:
    """Begin the next attempt of a run that waits for it or for a decision now, or give the run up.

    `retry` begins where its workflow says, `resume` from the last checkpoint, `restart` from the beginning.
    """

    async def decide() -> Response:
        before = run_of(context, run_id).attempt
        accepted = await context.command_side.decide_run(run_id, body, actor, key)

        def decided(run: Run) -> bool:
            return run.status.ended or run.attempt > before

        types = BEGINNINGS | {RunClaimed.__name__}
        await effect(context, accepted, run_id, reached=decided, types=types, wait=wait)
        return mutation(context, accepted, decided)

    return await once.answer(request, actor.principal, key, decide)


def _has_begun(run: Run) -> bool:
    """Its process exists, did, or never will."""
    return run.status not in (Status.PENDING, Status.STARTING) or run.attempt_over


def _run_as_accepted(context: Context, accepted: Accepted) -> Run:
    """The run as it was when its start was stored, however far it has come since: a repetition shows the same."""
    run = context.read_model.state_at(accepted.run_id, accepted.seq).run if accepted.repeated else None
    return run or run_of(context, accepted.run_id)


def _names(given: list[str]) -> list[str]:
    return [name for one in given for name in one.split(",") if name]


def _statuses(names: list[str]) -> tuple[Status, ...]:
    unknown = [name for name in names if name not in set(Status)]
    if unknown:
        raise InvalidInput(
            f"status={unknown[0][:80]!r}: a status is one of {', '.join(Status)}; {AWAITING_DECISION} stands for the "
            f"runs that wait for a decision",
            field="status",
            value=unknown[0][:80],
        )
    return tuple(dict.fromkeys(Status(name) for name in names))
