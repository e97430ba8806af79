"""Reading from the broker by an own pull loop.

Pull requests (``MSG.NEXT``) are answered straight into a core subscription; two of them are in flight, so that
the next batch is under way while one is worked on. Push consumers were measured to stall silently, so none is
used. A pull that fell silent (its heartbeats stopped, the broker was restarted) is asked again; a reader whose
consumer is gone makes a new one after the last message it saw, and a gap in the consumer's numbering does the same.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

log = logging.getLogger("runplane.bus")

BATCH = 1000
_PULLS_IN_FLIGHT = 2
_EXPIRES_SECONDS = 30.0
_HEARTBEAT_SECONDS = 5.0
_SILENCE_SECONDS = 12.0
_READ_SECONDS = 10.0
_READ_PAUSE_SECONDS = 2.0
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_SHORT_REPLY_TOKENS = 9
"""``$JS.ACK.<stream>.<consumer>.<5 numbers>``; with domain and account there are two more after ``ACK``."""
_PULL_BYTES = 16 * 2**20
"""Both pulls together stay well below what the broker keeps for one connection (64 MiB) before it ends it."""
_SUBSCRIPTION_BYTES = 512 * 2**20

OnWake = Callable[[Callable[[], None]], Callable[[], None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A stored message: its place in the stream and its bytes."""

    subject: str
    payload: bytes
    seq: int
    time_ns: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery(Message):
    """A message handed over for work: it comes again unless it is acknowledged."""

    delivery_count: int
    raw: Msg

    async def ack(self) -> None:
        """The work is done."""
        await self.raw.respond(b"+ACK")

    async def nak(self, delay: float = 0.0) -> None:
        """Hand it over again, after ``delay`` seconds."""
        await self.raw.respond(b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode())

    async def in_progress(self) -> None:
        """Still working: do not hand it to anybody else yet."""
        await self.raw.respond(b"+WPI")

    async def term(self) -> None:
        """Never hand it over again."""
        await self.raw.respond(b"+TERM")


class _Pulls:
    """The pull requests of one consumer: asks, counts the messages still owed, collects what comes.

    The broker serves several pulls in turn and does not say which one a message answers, so what is counted is the
    sum over all of them; a pull that ends early says how much of it was left.
    """

    def __init__(self, nc: Client, stream: str, batch: int, in_flight: int) -> None:
        self._nc = nc
        self._stream = stream
        self._batch = batch
        self._in_flight = in_flight
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._owed = 0
        self._next_pull = 0
        self._got: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._heard = 0.0
        self._pause = _SHORTEST_PAUSE_SECONDS
        self.consumer = ""
        self.lost = False

    async def open(self) -> None:
        self._inbox = self._nc.new_inbox()
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*",
            cb=self._on_message,
            pending_msgs_limit=-1,
            pending_bytes_limit=_SUBSCRIPTION_BYTES,
        )
        self._heard = asyncio.get_running_loop().time()

    async def close(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(NatsError):
                await self._subscription.unsubscribe()
            self._subscription = None

    def forget(self) -> None:
        """Count every outstanding pull as gone."""
        self._owed = 0
        self._arrived.set()

    def drop(self) -> None:
        """Forget what came and was not taken."""
        self._got.clear()
        self.forget()

    async def trouble(self, what: str, error: Exception) -> None:
        """The broker did not answer: say so when that is new, pause longer each time, and make the consumer anew."""
        if self._pause == _SHORTEST_PAUSE_SECONDS:
            log.warning("%s: %s: %s; trying again", what, type(error).__name__, error)
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self.lost = True

    async def ask(self) -> None:
        """Keep the wanted number of pulls in flight."""
        while self._owed <= self._batch * (self._in_flight - 1):
            self._next_pull += 1
            request = {
                "batch": self._batch,
                "max_bytes": _PULL_BYTES,
                "expires": int(_EXPIRES_SECONDS * 1e9),
                "idle_heartbeat": int(_HEARTBEAT_SECONDS * 1e9),
            }
            self._owed += self._batch
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self.consumer}"
            await self._nc.publish(
                subject, json.dumps(request).encode(), reply=f"{self._inbox}.{self._next_pull}"
            )

    async def wait(self, timeout: float) -> list[Msg]:
        """What came; waits up to ``timeout`` seconds when nothing is there. Silence makes every pull count as gone."""
        if not self._got:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
        if not self._got and asyncio.get_running_loop().time() - self._heard > _SILENCE_SECONDS:
            self._heard = asyncio.get_running_loop().time()
            self.forget()
        return [self._got.popleft() for _ in range(min(len(self._got), self._batch))]

    async def _on_message(self, msg: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._pause = _SHORTEST_PAUSE_SECONDS
        if not msg.subject.startswith(self._inbox):
            self._owed = max(0, self._owed - 1)
            self._got.append(msg)
            self._arrived.set()
            return
        headers = msg.headers or {}
        status = headers.get("Status")
        if status == "100":
            return
        description = headers.get("Description", "").lower()
        left = headers.get("Nats-Pending-Messages", "")
        self._owed = max(0, self._owed - (int(left) if left.isdigit() else self._batch))
        if status == "503" or "deleted" in description or "not found" in description:
            self.lost = True
        self._arrived.set()


class Reader:
    """Follows a stream in order, without gaps and without acknowledging; ``async for batch in reader``.

    ``start_seq`` None begins with the last message of every subject.
    """

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        *,
        stream: str,
        start_seq: int | None,
        subject_filter: str | None,
        on_wake: OnWake,
        batch: int = BATCH,
    ) -> None:
        """Nothing is asked of the broker until the first batch is wanted."""
        self._js = js
        self._stream = stream
        self._start_seq = start_seq
        self._filter = subject_filter
        self._pulls = _Pulls(nc, stream, batch, _PULLS_IN_FLIGHT)
        self._on_wake = on_wake
        self._forget_waker: Callable[[], None] | None = None
        self._last_seq = (start_seq or 1) - 1
        self._seen_any = False
        self._consumer_seq = 0
        self._closed = False
        self._pending = 0

    @property
    def pending(self) -> int:
        """How many messages the broker still held after the last one handed over."""
        return self._pending

    async def __aenter__(self) -> Self:
        """Use with ``async with`` to have it closed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def __aiter__(self) -> AsyncIterator[list[Message]]:
        """Batches of messages, for ever; ends after :meth:`close`."""
        while not self._closed:
            batch = await self.next(timeout=_HEARTBEAT_SECONDS)
            if batch:
                yield batch

    async def next(self, timeout: float) -> list[Message]:
        """The next messages, or an empty list when none came within ``timeout`` seconds."""
        try:
            if not self._pulls.consumer or self._pulls.lost:
                await self._recreate()
            await self._pulls.ask()
            raw = await self._pulls.wait(timeout)
        except (NatsError, TimeoutError, OSError) as error:
            if self._closed:
                return []
            await self._pulls.trouble(f"reading {self._stream}", error)
            return []
        if raw:
            await self._pulls.ask()
        return self._in_order(raw)

    async def close(self) -> None:
        """End; the consumer on the broker goes by itself."""
        self._closed = True
        if self._forget_waker is not None:
            self._forget_waker()
        self._pulls.forget()
        await self._pulls.close()
        if self._pulls.consumer:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await asyncio.wait_for(self._js.delete_consumer(self._stream, self._pulls.consumer), 0.5)

    async def _recreate(self) -> None:
        """Make a consumer that begins after the last message seen."""
        if self._forget_waker is None:
            self._forget_waker = self._on_wake(self._pulls.forget)
        # A new inbox: pulls of the former consumer may still be answered, and that would look like gaps.
        await self._pulls.close()
        await self._pulls.open()
        self._pulls.drop()
        policy = DeliverPolicy.BY_START_SEQUENCE
        start: int | None = self._last_seq + 1
        if self._start_seq is None and not self._seen_any:
            policy, start = DeliverPolicy.LAST_PER_SUBJECT, None
        configuration = ConsumerConfig(
            deliver_policy=policy,
            opt_start_seq=start,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._filter or (">" if policy is DeliverPolicy.LAST_PER_SUBJECT else None),
            inactive_threshold=60.0,
            mem_storage=True,
            num_replicas=1,
        )
        information = await self._js.add_consumer(self._stream, configuration)
        self._pulls.consumer = information.name
        self._pulls.lost = False
        self._consumer_seq = 0

    def _in_order(self, raw: list[Msg]) -> list[Message]:
        batch: list[Message] = []
        for msg in raw:
            place = _Place.of(msg)
            if place.stream_seq <= self._last_seq:
                continue
            if place.consumer_seq != self._consumer_seq + 1:
                log.warning("reading %s: a gap before %d; reading again", self._stream, place.stream_seq)
                self._pulls.lost = True
                break
            self._consumer_seq = place.consumer_seq
            self._last_seq = place.stream_seq
            self._seen_any = True
            self._pending = place.pending
            batch.append(place.message(msg))
        return batch


class Consumer:
    """A durable consumer: messages are handed over for work and come again unless acknowledged.

    Pulls are only asked for inside :meth:`next`, so a caller that has no room for more simply does not call it.
    """

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        *,
        stream: str,
        name: str,
        subject_filter: str,
        batch: int,
        on_wake: OnWake,
    ) -> None:
        """Call :meth:`declare` before use."""
        self._js = js
        self._stream = stream
        self.name = name
        self._filter = subject_filter
        self._pulls = _Pulls(nc, stream, batch, 1)
        self._on_wake = on_wake
        self._forget_waker: Callable[[], None] | None = None
        self._configuration: ConsumerConfig | None = None

    async def declare(self, *, ack_wait: float, max_ack_pending: int) -> None:
        """Create the consumer on the broker, or find it there."""
        self._configuration = ConsumerConfig(
            durable_name=self.name,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_ack_pending=max_ack_pending,
            filter_subject=self._filter,
        )
        await self._declare()
        await self._pulls.open()
        self._forget_waker = self._on_wake(self._pulls.forget)

    async def _declare(self) -> None:
        await self._js.add_consumer(self._stream, self._configuration)
        self._pulls.consumer = self.name
        self._pulls.lost = False

    async def next(self, timeout: float | None = None) -> list[Delivery]:
        """The next messages; an empty list after ``timeout`` seconds (None waits as long as a pull lives)."""
        try:
            if self._pulls.lost:
                self._pulls.drop()
                await self._declare()
            await self._pulls.ask()
            raw = await self._pulls.wait(timeout if timeout is not None else _HEARTBEAT_SECONDS)
        except (NatsError, TimeoutError, OSError) as error:
            await self._pulls.trouble(f"consumer {self.name}", error)
            return []
        return [_Place.of(msg).delivery(msg) for msg in raw]

    async def close(self) -> None:
        """End; the durable consumer stays on the broker, and what was not acknowledged comes again."""
        if self._forget_waker is not None:
            self._forget_waker()
        await self._pulls.close()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message stands, read from its reply subject ``$JS.ACK.…``."""

    deliveries: int
    stream_seq: int
    consumer_seq: int
    time_ns: int
    pending: int

    @classmethod
    def of(cls, msg: Msg) -> Self:
        tokens = msg.reply.split(".")
        first = 4 if len(tokens) == _SHORT_REPLY_TOKENS else 6
        deliveries, stream_seq, consumer_seq, time_ns, pending = map(int, tokens[first : first + 5])
        return cls(deliveries, stream_seq, consumer_seq, time_ns, pending)

    def message(self, msg: Msg) -> Message:
        return Message(
            subject=msg.subject,
            payload=msg.data,
            seq=self.stream_seq,
            time_ns=self.time_ns,
            headers=dict(msg.headers or {}),
        )

    def delivery(self, msg: Msg) -> Delivery:
        return Delivery(
            subject=msg.subject,
            payload=msg.data,
            seq=self.stream_seq,
            time_ns=self.time_ns,
            headers=dict(msg.headers or {}),
            delivery_count=self.deliveries,
            raw=msg,
        )


async def read_once(
    nc: Client, js: JetStreamContext, stream: str, subject_filter: str, start_seq: int
) -> list[Message]:
    """All messages of a filter that are stored now; raises what the broker's absence raises.

    Whoever decides by what was read must have read all of it: a part is never handed over as the whole.
    """
    reader = Reader(
        nc,
        js,
        stream=stream,
        start_seq=start_seq,
        subject_filter=subject_filter,
        on_wake=lambda _: lambda: None,
    )
    messages: list[Message] = []
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _READ_SECONDS
    try:
        expected = await _stored(js, stream, subject_filter)
        while len(messages) < expected:
            batch = await reader.next(timeout=_READ_PAUSE_SECONDS)
            if batch:
                messages.extend(batch)
                deadline = loop.time() + _READ_SECONDS
                if reader.pending == 0:
                    break
            elif loop.time() > deadline:
                raise TimeoutError(f"{len(messages)} of {expected} messages came within {_READ_SECONDS:g} s")
            else:
                expected = await _stored(js, stream, subject_filter)  # some may have been dropped by age
    finally:
        await reader.close()
    return messages


async def _stored(js: JetStreamContext, stream: str, subject_filter: str) -> int:
    information = await js.stream_info(stream, subjects_filter=subject_filter)
    return sum((information.state.subjects or {}).values())


__all__ = ["Consumer", "Delivery", "Message", "Reader", "read_once"]
