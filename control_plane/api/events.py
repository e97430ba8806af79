"""The audit log, of everything and of one run, and what is folded from it: steps and samples."""

from datetime import datetime
from typing import Annotated, assert_never

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from control_plane.api.documents import RecordList, SampleList, StepList, StepView
from control_plane.api.parts import (
    BASE,
    MAX_POSITION,
    ContextOf,
    MomentOf,
    Reflects,
    RunIdOf,
    answer,
    only,
    problems,
)
from control_plane.api.records import records_answer
from control_plane.context import Context
from control_plane.read_model import EventFilter
from runplane.contract.envelope import TYPES, Envelope
from runplane.contract.errors import InvalidInput, NotFound
from runplane.contract.events import StepCompleted, StepFailed, StepStarted

router = APIRouter(prefix=BASE, tags=["events"])

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000
SinceSeq = Annotated[int | None, Query(ge=0, le=MAX_POSITION, description="Records after this log position")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Since = Annotated[MomentOf | None, Query(examples=["2025-01-31T09:30:00Z"])]


@router.get(
    "/events",
    summary="Read the audit log",
    response_model=RecordList,
    responses=problems(503),
    dependencies=[only("type", "actor", "run_id", "host", "since_seq", "since", "until", "limit"), Reflects],
)
async def list_events(
    *,
    context: ContextOf,
    type: Annotated[
        str | None,
        Query(description="Name of a command or event", json_schema_extra={"enum": sorted(TYPES)}),
    ] = None,
    actor: Annotated[str | None, Query(max_length=200, description="Principal")] = None,
    run_id: Annotated[str | None, Query(max_length=200)] = None,
    host: Annotated[str | None, Query(max_length=200)] = None,
    since_seq: SinceSeq = None,
    since: Since = None,
    until: Since = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Records in log order. Without `since_seq` and `since`, the last ones."""
    check_type(type)
    newest = since_seq is None and since is None
    records = context.read_model.events(
        EventFilter(
            type=type,
            actor=actor,
            run_id=run_id,
            host=host,
            since_seq=since_seq or 0,
            since=since,
            until=until,
            newest=newest,
            limit=limit,
        )
    )
    more = len(records) == limit and not newest
    return records_answer(records, next_since_seq=records[-1][0] if more else None)


@router.get(
    "/runs/{run_id}/events",
    summary="Read a run's story",
    response_model=RecordList,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def list_run_events(
    context: ContextOf, run_id: RunIdOf, since_seq: SinceSeq = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """Everything that was asked of the run or happened to it, in log order."""
    require_run(context, run_id)
    records = context.read_model.events(EventFilter(run_id=run_id, since_seq=since_seq or 0, limit=limit))
    return records_answer(records, next_since_seq=records[-1][0] if len(records) == limit else None)


@router.get(
    "/runs/{run_id}/steps",
    summary="Read a run's steps",
    response_model=StepList,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def list_steps(context: ContextOf, run_id: RunIdOf) -> Response:
    """The steps that the workflow reported, in the order in which they were started."""
    require_run(context, run_id)
    types = (StepStarted.__name__, StepCompleted.__name__, StepFailed.__name__)
    return answer(
        StepList(items=fold_steps([record for _, record in context.read_model.story(run_id, types)]))
    )


@router.get(
    "/runs/{run_id}/values/{digest}",
    summary="Read a large value of a run",
    response_model=None,
    responses={
        200: {"content": {"application/json": {"schema": {}}}, "description": "The value, as JSON"},
        **problems(404, 503),
    },
    dependencies=[Reflects],
)
async def get_value(
    context: ContextOf,
    run_id: RunIdOf,
    digest: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="As `$object` names it")],
) -> Response:
    """An input or a result of a step that is too large for the log, which has its digest only."""
    require_run(context, run_id)
    data = await context.bus.objects.get(digest)
    if data is None:
        raise NotFound(
            f"value {digest[:12]}… of {run_id} is not there: its host has not sent it yet, or it is older than 30 days",
            code="value_not_found",
            run_id=run_id,
        )
    return Response(data, media_type="application/json")


@router.get(
    "/runs/{run_id}/resources",
    summary="Read a run's samples",
    response_model=SampleList,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def list_resources(context: ContextOf, run_id: RunIdOf, since: Since = None) -> Response:
    """What the run's tree used, oldest first: the last minutes sample by sample, what was before as means of 10 s, a
    minute and ten minutes (`resolution_seconds`), for up to an hour, a day and thirty days, also after it has ended.
    """
    require_run(context, run_id)
    return answer(SampleList(items=tuple(context.telemetry.course(run_id, since))))


def check_type(name: str | None) -> None:
    """Refuse the name of a record that there is none of."""
    if name is not None and name not in TYPES:
        raise InvalidInput(
            f"type={name[:80]!r} is no command or event: use one of {', '.join(sorted(TYPES))}",
            field="type",
            value=name[:80],
        )


def require_run(context: Context, run_id: str) -> None:
    """NotFound where there is no such run."""
    if context.read_model.run(run_id) is None:
        raise NotFound(
            f"there is no run {run_id}: see runplane ps --all", code="run_not_found", run_id=run_id
        )


def fold_steps(records: list[Envelope]) -> tuple[StepView, ...]:
    """Steps by attempt, index and name; an end that was told without a beginning stands all the same."""
    steps: dict[tuple[int | None, int, str], StepView] = {}
    for record in records:
        data = record.data
        if not isinstance(data, StepStarted | StepCompleted | StepFailed):
            continue
        place = (record.attempt, data.index, data.name)
        known = steps.get(place) or StepView(
            name=data.name, index=data.index, key=data.key, attempt=record.attempt, state="started"
        )
        match data:
            case StepStarted():
                changes: dict[str, object] = {
                    "inputs": data.inputs,
                    "expected_seconds": data.expected_seconds,
                    "started_at": record.time,
                }
            case StepCompleted():
                changes = {
                    "state": "completed",
                    "result": data.result,
                    **_end(record.time, data.duration_seconds),
                }
            case StepFailed():
                changes = {"state": "failed", "error": data.error, **_end(record.time, data.duration_seconds)}
            case _:
                assert_never(data)
        steps[place] = known.model_copy(update=changes)
    return tuple(steps.values())


def _end(at: datetime, duration_seconds: float | None) -> dict[str, object]:
    return {"ended_at": at, "duration_seconds": duration_seconds}
