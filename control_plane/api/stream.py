"""The live stream: every record from a log position on, without a gap, as server-sent events.

The id of an event is its log position. A client that comes again with ``Last-Event-ID`` first gets what is stored
after it, then what happens. Nothing is queued for a client without bound: one that is too slow is fed from the store
again, at its own pace, and one that takes nothing at all is let go.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from control_plane.api.events import check_type
from control_plane.api.parts import (
    BASE,
    MAX_POSITION,
    ContextOf,
    LastEventIdOf,
    Reflects,
    event_id_of,
    only,
    problems,
)
from control_plane.api.records import change_json
from control_plane.read_model import EventFilter, ReadModel, Subscription
from runplane.contract.envelope import TYPES, Envelope
from runplane.contract.ids import RUN_ID_PATTERN
from runplane.contract.run import Run

router = APIRouter(prefix=BASE, tags=["events"])

HEARTBEAT_SECONDS = 15
SEND_SECONDS = 30.0
"""A client that takes nothing for so long is let go."""
EVENT_SCHEMA = {
    "type": "object",
    "required": ["data"],
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}
_PAGE = 200
_CONTENT = {
    "text/event-stream": {
        "schema": EVENT_SCHEMA,
        "example": "id: 42\nevent: RunKilled\n"
        'data: {"seq":42,"type":"RunKilled","run_id":"run_0dcbc991c0d4","record":{},"run":{}}\n\n',
    }
}


@router.get(
    "/stream",
    summary="Follow what happens",
    response_class=Response,
    responses={200: {"description": "Events until the client leaves", "content": _CONTENT}, **problems(503)},
    dependencies=[only("run_id", "types", "since_seq"), Reflects],
)
async def stream(
    context: ContextOf,
    run_id: Annotated[
        str | None, Query(description="Only what concerns this run", pattern=RUN_ID_PATTERN)
    ] = None,
    types: Annotated[
        list[str],
        Query(
            description="Names of records: given several times, or separated by commas",
            json_schema_extra={"items": {"enum": sorted(TYPES)}},
        ),
    ] = [],  # noqa: B006 — FastAPI copies defaults
    since_seq: Annotated[
        int | None, Query(ge=0, le=MAX_POSITION, description="Begin after this position")
    ] = None,
    last_event_id: LastEventIdOf = None,
) -> Response:
    """Every record as it is stored, and the run as it stands after it. Comments come while nothing happens."""
    wanted = _types(types)
    position = context.read_model.position
    start = next((place for place in (event_id_of(last_event_id), since_seq) if place is not None), position)
    return EventSourceResponse(
        _events(context.read_model, run_id, wanted, min(start, position)),
        ping=HEARTBEAT_SECONDS,
        send_timeout=SEND_SECONDS,
        headers={"Runplane-Seq": str(min(start, position))},
    )


async def _events(
    read_model: ReadModel, run_id: str | None, types: frozenset[str], position: int
) -> AsyncIterator[ServerSentEvent]:
    async with read_model.subscribe(run_id=run_id, types=types or None) as changes:
        while True:
            async for seq, envelope in _stored(read_model, run_id, types, position):
                position = seq
                yield _event(seq, envelope, read_model.run(envelope.run_id) if envelope.run_id else None)
            async for event, seq in _live(changes, position):
                position = seq
                yield event


async def _stored(
    read_model: ReadModel, run_id: str | None, types: frozenset[str], position: int
) -> AsyncIterator[tuple[int, Envelope]]:
    """What is stored after a position; pages, so that a slow client holds no more than one."""
    while True:
        page = read_model.events(EventFilter(run_id=run_id, since_seq=position, limit=_PAGE))
        for seq, envelope in page:
            position = seq
            if not types or envelope.type in types:
                yield seq, envelope
        if len(page) < _PAGE:
            return
        await asyncio.sleep(0)


async def _live(changes: Subscription, position: int) -> AsyncIterator[tuple[ServerSentEvent, int]]:
    """What happens after a position, until something had to be left out."""
    async for change in changes:
        if change.envelope is None:
            return
        if change.seq > position:
            position = change.seq
            yield _event(change.seq, change.envelope, change.run), change.seq


def _event(seq: int, envelope: Envelope, run: Run | None) -> ServerSentEvent:
    return ServerSentEvent(data=change_json(seq, envelope, run), event=envelope.type, id=str(seq))


def _types(given: list[str]) -> frozenset[str]:
    names = [name.strip() for one in given for name in one.split(",") if name.strip()]
    for name in names:
        check_type(name)
    return frozenset(names)
