"""Telling who waits: subscribers, and requests that wait for a log position or for a run to come so far.

All of it is memory of one process and one event loop. A subscriber that is too slow loses the oldest changes and is
told so; nobody is ever waited for.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from control_plane.read_model.projection import Projected
from control_plane.read_model.views import Change
from runplane.contract.commands import RestartRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import RestartAccepted
from runplane.contract.run import Run
from runplane.core.state import RunState

QUEUE_LIMIT = 1000
"""Changes kept for one subscriber that has not come for them."""

Predicate = Callable[[RunState], bool]


class Ending(Unavailable):
    """The control plane is being ended: ask again when it is back."""

    code = "ending"


@dataclass(kw_only=True, slots=True, eq=False)
class Subscription:
    """An iterator of changes, of one run or of all, of some types or of every type.

    Raises :class:`Ending` when the process is told to end, so that nobody waits for what will not come.
    """

    run_id: str | None
    types: frozenset[str] | None
    limit: int
    _queue: deque[Change] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _missed: int = 0
    _missed_after: int = 0
    _ended: bool = False

    def __aiter__(self) -> AsyncIterator[Change]:
        """Itself."""
        return self

    async def __anext__(self) -> Change:
        """The next change; waits for it."""
        while not self._queue and not self._missed:
            if self._ended:
                raise Ending
            self._arrived.clear()
            await self._arrived.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return Change(seq=self._missed_after, envelope=None, missed=missed)
        return self._queue.popleft()

    def end(self) -> None:
        """Nothing more will come; what is queued can still be taken."""
        self._ended = True
        self._arrived.set()

    def wants(self, envelope: Envelope) -> bool:
        """Whether the record is of the kind asked for."""
        if self.types is not None and envelope.type not in self.types:
            return False
        return self.run_id is None or self.run_id in _runs_named(envelope)

    def tell(self, change: Change) -> None:
        """Queue a change; when too many wait, drop them and keep count."""
        if len(self._queue) >= self.limit:
            if not self._missed:
                self._missed_after = self._queue[0].seq - 1
            self._missed += len(self._queue)
            self._queue.clear()
        self._queue.append(change)
        self._arrived.set()


class Changes:
    """Everyone who waits for the projection to go on."""

    def __init__(self, overlay: Callable[[RunState], Run | None]) -> None:
        """``overlay`` makes the run that users see of a state."""
        self._overlay = overlay
        self._subscriptions: set[Subscription] = set()
        self._positions: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._waiting: dict[str, list[tuple[Predicate, asyncio.Future[RunState]]]] = {}
        self._ended = False

    @asynccontextmanager
    async def subscribe(
        self, run_id: str | None, types: Collection[str] | None, limit: int = QUEUE_LIMIT
    ) -> AsyncIterator[Subscription]:
        """Be told of every change from now on, until the block ends."""
        wanted = frozenset(types) if types else None
        subscription = Subscription(run_id=run_id, types=wanted, limit=limit)
        self._subscriptions.add(subscription)
        if self._ended:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def wait_for(self, seq: int, timeout: float) -> bool:
        """Wait until log position ``seq`` is projected; False when it was not within ``timeout`` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (seq, next(self._order), future)
        heapq.heappush(self._positions, entry)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            if future.cancelled():
                with suppress(ValueError):
                    self._positions.remove(entry)
                    heapq.heapify(self._positions)
        return True

    async def wait_until(self, run_id: str, predicate: Predicate, timeout: float) -> RunState:
        """Wait until a state of the run satisfies the predicate; TimeoutError after ``timeout`` seconds."""
        future: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        entry = (predicate, future)
        self._waiting.setdefault(run_id, []).append(entry)
        try:
            async with asyncio.timeout(timeout):
                return await future
        finally:
            waiting = self._waiting.get(run_id, [])
            if entry in waiting:
                waiting.remove(entry)
            if not waiting:
                self._waiting.pop(run_id, None)

    def publish(self, projected: Sequence[Projected], position: int) -> None:
        """Tell of what was just committed."""
        for one in projected:
            self._tell(one)
            if self._waiting and one.state is not None and one.envelope.run_id in self._waiting:
                self._settle(one.envelope.run_id, one.state)
        while self._positions and self._positions[0][0] <= position:
            _, _, future = heapq.heappop(self._positions)
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        """End every subscription, so that streams close in order when the process ends."""
        self._ended = True
        for subscription in self._subscriptions:
            subscription.end()

    @property
    def subscribers(self) -> int:
        """How many are subscribed."""
        return len(self._subscriptions)

    def _tell(self, one: Projected) -> None:
        change: Change | None = None
        for subscription in self._subscriptions:
            if subscription.wants(one.envelope):
                if change is None:
                    run = self._overlay(one.state) if one.state is not None else None
                    change = Change.model_construct(seq=one.seq, envelope=one.envelope, run=run, missed=0)
                subscription.tell(change)

    def _settle(self, run_id: str, state: RunState) -> None:
        for predicate, future in self._waiting[run_id]:
            if future.done():
                continue
            try:
                if predicate(state):
                    future.set_result(state)
            except Exception as error:  # noqa: BLE001 — it is the waiting request's own mistake
                future.set_exception(error)


def _runs_named(envelope: Envelope) -> tuple[str | None, ...]:
    data = envelope.data
    if isinstance(data, RestartRun):
        return envelope.run_id, data.run_id
    if isinstance(data, RestartAccepted):
        return envelope.run_id, data.new_run_id
    return (envelope.run_id,)
