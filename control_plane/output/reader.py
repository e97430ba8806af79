"""Reading the output of runs from the broker: what is stored, the last lines, and what comes.

Memory is bounded whatever a run printed: a page ends after so many bytes, a tail keeps so many lines and bytes.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from control_plane.api.documents import OutputItem
from control_plane.broker_answer import from_broker
from control_plane.output.text import OutputText
from runplane.bus import Bus, Message, Reader
from runplane.contract.errors import Unavailable
from runplane.contract.subjects import OUTPUT_STREAM, run_output

STALL_SECONDS = 10.0
PAGE_BYTES = 4 * 2**20
TAIL_BYTES = 8 * 2**20
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of output with its place in the stream of output; ``ended`` says that this was all of that stream."""

    seq: int
    item: OutputItem
    size: int
    ended: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Which:
    """Whose output, of which attempt (None: all) and which stream (None: both)."""

    run_id: str
    attempt: int | None
    stream: str | None

    @property
    def subject(self) -> str:
        """The filter on the broker."""
        return run_output(self.run_id, self.attempt, self.stream)


class OutputReader:
    """Reads the output that ``which`` names, in the order in which it was stored. Use with ``async with``."""

    def __init__(self, bus: Bus, which: Which, *, after: int = 0) -> None:
        """Begin after a position in the stream of output."""
        self._bus = bus
        self._which = which
        self._reader: Reader = bus.read_output(which.subject, start_seq=after + 1)
        self._texts: dict[tuple[int, str], OutputText] = {}
        self.position = after

    async def __aenter__(self) -> Self:
        """Nothing is asked of the broker yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self._reader.close()

    @property
    def behind(self) -> int:
        """How many pieces were stored and not yet read when the last one was read."""
        return self._reader.pending

    async def last(self) -> int:
        """The position of the last piece that is stored now; 0 where there is none."""
        message = await from_broker(self._bus.last_message(OUTPUT_STREAM, self._which.subject))
        return message.seq if message is not None else 0

    async def stored(self, last: int) -> AsyncIterator[Chunk]:
        """Everything up to a position that is known to be stored."""
        while self.position < last:
            chunks = await self.next(STALL_SECONDS)
            if not chunks:
                raise Unavailable(
                    f"the broker did not hand over the output of {self._which.run_id}: ask again"
                )
            for chunk in chunks:
                yield chunk

    async def next(self, timeout: float) -> list[Chunk]:
        """The next pieces; an empty list when none came within ``timeout`` seconds."""
        messages = await self._reader.next(timeout)
        return [self._chunk(message) for message in messages]

    def _chunk(self, message: Message) -> Chunk:
        self.position = message.seq
        attempt, stream = message.subject.rsplit(".", 2)[1:]
        ended = "Rp-End" in message.headers
        text = self._texts.setdefault((int(attempt), stream), OutputText())
        item = OutputItem.model_construct(
            stream="stderr" if stream == "stderr" else "stdout",
            attempt=int(attempt),
            offset=int(message.headers.get("Rp-Offset", "0")),
            time=_time_of(message),
            text=text.take(message.payload, final=ended),
        )
        return Chunk(seq=message.seq, item=item, size=len(message.payload), ended=ended)


class Tail:
    """The last lines of what goes by, over all streams."""

    def __init__(self, lines: int) -> None:
        """Keep ``lines`` lines, and no more than ``TAIL_BYTES``."""
        self._lines = lines
        self._items: deque[OutputItem] = deque()
        self._breaks = 0
        self._size = 0

    def take(self, item: OutputItem) -> None:
        """Let a piece go by; one without text, such as an end mark, is no line."""
        if not item.text:
            return
        self._items.append(item)
        self._breaks += item.text.count("\n")
        self._size += len(item.text)
        while len(self._items) > 1:
            first = self._items[0]
            breaks = first.text.count("\n")
            if self._breaks - breaks <= self._lines and self._size <= TAIL_BYTES:
                break
            self._items.popleft()
            self._breaks -= breaks
            self._size -= len(first.text)

    def items(self) -> list[OutputItem]:
        """The last lines; the first piece is cut to where they begin."""
        kept = list(self._items)
        if not kept or self._lines == 0:
            return []
        open_line = 0 if kept[-1].text.endswith("\n") else 1
        surplus = self._breaks + open_line - self._lines
        while kept and surplus > 0:
            first = kept.pop(0)
            breaks = first.text.count("\n")
            if breaks > surplus or (breaks == surplus and not first.text.endswith("\n")):
                cut = _after_breaks(first.text, surplus)
                offset = first.offset + len(first.text[:cut].encode())
                kept.insert(0, first.model_copy(update={"text": first.text[cut:], "offset": offset}))
                break
            surplus -= breaks
        return kept


def _after_breaks(text: str, breaks: int) -> int:
    position = 0
    for _ in range(breaks):
        position = text.index("\n", position) + 1
    return position


def _time_of(message: Message) -> datetime:
    try:
        moment = datetime.fromisoformat(message.headers.get("Rp-Time", ""))
    except ValueError:
        moment = datetime.fromtimestamp(message.time_ns / 1e9, UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
