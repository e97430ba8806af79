"""Server-sent events: read, and taken up again by ``Last-Event-ID`` when the connection breaks.

A stream that breaks is opened again from the last id that was read, so nothing is lost and nothing comes twice. Without
a sign of life for ``SILENCE`` seconds (the server sends comments) it counts as broken. When nothing came for
``PATIENCE`` seconds in spite of trying, the caller gets :class:`Unavailable`.
"""

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from runplane.client.problem import error_of
from runplane.client.wire import FIRST_DELAY, LONGEST_DELAY, Wire
from runplane.contract.errors import RunplaneError, SystemFault, Unavailable

SILENCE = 60.0
PATIENCE = 30.0
STEADY = 5.0
"""A connection that lasted for so many seconds shows that the other side lives, even without an event."""
OPENED = "\0opened"  # no event of a server can have this name
MAX_EVENT_BYTES = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """One event: its name, its data, and the id from which a reader goes on."""

    name: str
    data: str
    id: str


class EventLines:
    """Turns lines into events, after the WHATWG's rules for ``text/event-stream``. ``last_id`` outlives an event."""

    def __init__(self, last_id: str = "") -> None:
        """Begin after ``last_id``."""
        self.last_id = last_id
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None

    def take(self, line: str) -> ServerEvent | None:
        """Take one line without its end; the event that it completes."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event" if "\0" not in value:
                self._name = value
            case "data":
                self._size += len(value)
                if self._size > MAX_EVENT_BYTES:
                    raise SystemFault(f"the control plane sent an event of more than {MAX_EVENT_BYTES} bytes")
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # comments and `retry`: the delays here are bounded, whatever a server would like
        return None

    def _dispatch(self) -> ServerEvent | None:
        self.last_id = self._id if self._id is not None else self.last_id
        event = None
        if self._data:
            event = ServerEvent(name=self._name or "message", data="\n".join(self._data), id=self.last_id)
        self._name, self._data, self._size, self._id = "", [], 0, None
        return event


async def read_events(
    wire: Wire, path: str, query: Mapping[str, Any], *, last_id: str = "", begins_at: str = ""
) -> AsyncGenerator[ServerEvent]:
    """Read for as long as the caller wants; ends only when it is closed, or by an error.

    ``begins_at`` names the header of the answer that says after which id the stream begins, so that what is missed
    before the first event is found again after a break. Close it when leaving it early (``contextlib.aclosing``).
    """
    delay, heard_at = FIRST_DELAY, time.monotonic()
    while True:
        opened_at: float | None = None
        try:
            async with aclosing(_read_once(wire, path, query, last_id, begins_at)) as events:
                async for event in events:
                    last_id = event.id
                    if event.name == OPENED:
                        opened_at = time.monotonic()
                        continue
                    delay, heard_at = FIRST_DELAY, time.monotonic()
                    yield event
            failure: RunplaneError = Unavailable(f"{wire.url} ended the stream: try again")
        except httpx.TransportError as error:
            failure = wire.unreachable(error)
        except Unavailable as error:
            failure = error
        if opened_at is not None and time.monotonic() - opened_at > STEADY:
            delay, heard_at = FIRST_DELAY, time.monotonic()
        if time.monotonic() + delay > heard_at + PATIENCE:
            raise failure
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)


async def _read_once(
    wire: Wire, path: str, query: Mapping[str, Any], last_id: str, begins_at: str
) -> AsyncGenerator[ServerEvent]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    async with wire.stream(path, query, headers, SILENCE) as response:
        if not response.is_success:
            raise error_of(response, await response.aread())
        parser = EventLines(last_id or response.headers.get(begins_at, ""))
        yield ServerEvent(name=OPENED, data="", id=parser.last_id)
        async with aclosing(_lines(response)) as lines:
            async for line in lines:
                event = parser.take(line)
                if event is not None:
                    yield event


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Lines that end in LF, CR LF or CR alone; not at the other places where ``str.splitlines`` would cut."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    async for chunk in response.aiter_bytes():
        text = rest + decoder.decode(chunk)
        # A CR at the very end may be the first half of a CR LF.
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r") if held else text
        *lines, last = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rest = last + held
        if len(rest) > MAX_EVENT_BYTES:
            raise SystemFault(f"the control plane sent a line of more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            yield line
