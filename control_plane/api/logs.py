"""Output of a run over HTTP: a page of JSON, plain text, or followed as it comes. From any host, also a dead one's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from control_plane.api.documents import OutputItem, OutputPage
from control_plane.api.events import require_run
from control_plane.api.parts import (
    BASE,
    MAX_POSITION,
    ContextOf,
    LastEventIdOf,
    Reflects,
    RunIdOf,
    answer,
    event_id_of,
    only,
    problems,
)
from control_plane.api.stream import EVENT_SCHEMA, HEARTBEAT_SECONDS, SEND_SECONDS
from control_plane.context import Context
from control_plane.output import PAGE_BYTES, Chunk, OutputReader, Tail, Which
from runplane.contract.errors import InvalidInput

router = APIRouter(prefix=BASE, tags=["runs"])

MAX_TAIL = 100_000
SETTLE_SECONDS = 5.0
"""How long after a run's end its output may still be on the way, where its host does not say that it was all."""
_CONTENT = {
    "text/plain": {"schema": {"type": "string"}},
    "text/event-stream": {"schema": EVENT_SCHEMA},
}


@router.get(
    "/runs/{run_id}/logs",
    summary="Read a run's output",
    response_model=OutputPage,
    responses={200: {"model": OutputPage, "content": _CONTENT}, **problems(404, 503)},
    dependencies=[only("follow", "tail", "stream", "attempt", "cursor"), Reflects],
)
async def read_logs(
    *,
    request: Request,
    context: ContextOf,
    run_id: RunIdOf,
    follow: Annotated[
        bool, Query(description="Go on until the run has ended, as server-sent events `output` and `end`")
    ] = False,
    tail: Annotated[int | None, Query(ge=0, le=MAX_TAIL, description="Only the last lines")] = None,
    stream: Annotated[Literal["stdout", "stderr"] | None, Query()] = None,
    attempt: Annotated[int | None, Query(ge=1, le=MAX_POSITION)] = None,
    cursor: Annotated[
        str | None, Query(max_length=30, description="`next_cursor` of the page before", pattern=r"^[0-9]+$")
    ] = None,
    last_event_id: LastEventIdOf = None,
) -> Response:
    """What the run printed, in the order in which it came. Text is shown without terminal control sequences."""
    require_run(context, run_id)
    which = Which(run_id=run_id, attempt=attempt, stream=stream)
    if follow:
        followed = _follow(context, which, tail, event_id_of(last_event_id) or 0)
        return EventSourceResponse(followed, ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS)
    if "text/plain" in request.headers.get("accept", ""):
        return StreamingResponse(_plain(context, which, tail), media_type="text/plain; charset=utf-8")
    after = _after(cursor)
    async with OutputReader(context.bus, which, after=after) as reader:
        return answer(await _page(reader, tail))


async def _page(reader: OutputReader, tail: int | None) -> OutputPage:
    last = await reader.last()
    kept = Tail(tail) if tail is not None else None
    items: list[OutputItem] = []
    following: dict[str, int] = {}
    size = 0
    async for chunk in reader.stored(last):
        item = chunk.item
        following[f"{item.attempt}/{item.stream}"] = item.offset + chunk.size
        if kept is not None:
            kept.take(item)
            continue
        if item.text:
            items.append(item)
        size += chunk.size
        if size >= PAGE_BYTES and chunk.seq < last:
            return OutputPage(items=tuple(items), next_offset=following, next_cursor=str(chunk.seq))
    if kept is not None:
        items = [item for item in kept.items() if item.text]
    return OutputPage(items=tuple(items), next_offset=following, next_cursor=None)


async def _plain(context: Context, which: Which, tail: int | None) -> AsyncIterator[str]:
    async with OutputReader(context.bus, which) as reader:
        last = await reader.last()
        if tail is None:
            async for chunk in reader.stored(last):
                if chunk.item.text:
                    yield chunk.item.text
            return
        kept = Tail(tail)
        async for chunk in reader.stored(last):
            kept.take(chunk.item)
        for item in kept.items():
            yield item.text


async def _follow(
    context: Context, which: Which, tail: int | None, after: int
) -> AsyncIterator[ServerSentEvent]:
    """Everything stored (or its last lines), then what comes, until the run has ended and all of it was sent."""
    async with OutputReader(context.bus, which, after=after) as reader:
        open_streams = _OpenStreams()
        last = await reader.last()
        kept = Tail(tail) if tail is not None and not after else None
        async for chunk in reader.stored(last):
            open_streams.take(chunk.item, ended=chunk.ended)
            if kept is not None:
                kept.take(chunk.item)
            elif chunk.item.text:
                yield _output(chunk.item, chunk.seq)
        for item in kept.items() if kept is not None else ():
            if item.text:
                yield _output(item, reader.position)
        async for event in _until_ended(context, which, reader, open_streams):
            yield event
        yield ServerSentEvent(data="{}", event="end", id=str(reader.position))


async def _until_ended(
    context: Context, which: Which, reader: OutputReader, open_streams: "_OpenStreams"
) -> AsyncIterator[ServerSentEvent]:
    """What comes; waits for output and for the run's end at the same time."""
    ending = asyncio.create_task(
        context.read_model.wait_until(
            which.run_id, lambda state: state.run is not None and state.run.status.ended, _FOR_EVER
        )
    )
    settled_at: float | None = None
    loop = asyncio.get_running_loop()
    arriving: asyncio.Task[list[Chunk]] | None = None
    try:
        while True:
            if ending.done():
                settled_at = settled_at or loop.time() + SETTLE_SECONDS
                if (
                    open_streams.complete(_last_attempt(context, which), which.stream)
                    or loop.time() >= settled_at
                ):
                    return
            if arriving is None:
                arriving = asyncio.create_task(reader.next(_LISTEN_SECONDS))
            waiting = {arriving} if ending.done() else {arriving, ending}
            timeout = max(0.01, settled_at - loop.time()) if settled_at is not None else None
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not arriving.done():
                continue
            chunks, arriving = arriving.result(), None
            for chunk in chunks:
                open_streams.take(chunk.item, ended=chunk.ended)
                if chunk.item.text:
                    yield _output(chunk.item, chunk.seq)
    finally:
        for task in (ending, arriving):
            if task is not None:
                task.cancel()
        await asyncio.gather(
            *(task for task in (ending, arriving) if task is not None), return_exceptions=True
        )


_FOR_EVER = 366 * 86_400.0
_LISTEN_SECONDS = 5.0


class _OpenStreams:
    """Which streams said that they are complete."""

    def __init__(self) -> None:
        self._complete: set[tuple[int, str]] = set()

    def take(self, item: OutputItem, *, ended: bool) -> None:
        if ended:
            self._complete.add((item.attempt, item.stream))

    def complete(self, attempt: int, stream: str | None) -> bool:
        """Whether all that was asked for of the last attempt has come; with attempt 0 there is nothing to come."""
        wanted = (stream,) if stream is not None else ("stdout", "stderr")
        return attempt == 0 or all((attempt, one) in self._complete for one in wanted)


def _last_attempt(context: Context, which: Which) -> int:
    if which.attempt is not None:
        return which.attempt
    run = context.read_model.run(which.run_id)
    return run.attempt if run is not None else 0


def _output(item: OutputItem, seq: int) -> ServerSentEvent:
    return ServerSentEvent(data=item.model_dump_json(), event="output", id=str(seq))


def _after(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if int(cursor) > MAX_POSITION:
        raise InvalidInput(f"cursor={cursor} is no cursor of this list", field="cursor", value=cursor)
    return int(cursor)
