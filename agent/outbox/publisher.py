"""The publisher: brings journaled facts to the log, each run's in their order, and never drops one.

A lost connection only delays. The facts journaled together go out together, without waiting for one another; the
next ones of the same run wait for them. Facts found unpublished after a restart are first looked for in the log, since
the broker's duplicate window may have passed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from agent import failpoint
from runplane.bus import Bus, Stored
from runplane.contract.envelope import Envelope
from runplane.contract.errors import BrokerRefused, Unavailable
from runplane.contract.subjects import LOG_STREAM

log = logging.getLogger("agent.publisher")

_LONGEST_PAUSE_SECONDS = 5.0
_FLAT_OUT = 64


class Publisher:
    """One queue a run, one task for each queue that holds something. ``on_published(run_id, ids)`` is told."""

    def __init__(self, bus: Bus, on_published: Callable[[str, list[str]], None]) -> None:
        """Nothing is sent before :meth:`enqueue`."""
        self._bus = bus
        self._on_published = on_published
        self._queues: dict[str, deque[list[Envelope]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_FLAT_OUT)

    def enqueue(self, run_id: str, facts: list[Envelope], *, recovered: bool = False) -> None:
        """Publish these facts of one run, after those given before. ``recovered``: some may be in the log already."""
        if not facts:
            return
        self._queues.setdefault(run_id, deque()).append(facts)
        if run_id not in self._tasks:
            self._tasks[run_id] = asyncio.create_task(
                self._drain(run_id, recovered=recovered), name=f"publish {run_id}"
            )

    @property
    def backlog(self) -> int:
        """How many facts the log does not have yet."""
        return sum(len(facts) for queue in self._queues.values() for facts in queue)

    async def settled(self, run_id: str) -> None:
        """Wait until the log has everything of this run; as long as the broker is away, for ever."""
        while (task := self._tasks.get(run_id)) is not None:
            await asyncio.wait([task])

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most ``timeout`` seconds."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout)

    async def close(self) -> None:
        """Stop; what is not published is still in the journal."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _drain(self, run_id: str, *, recovered: bool) -> None:
        queue = self._queues[run_id]
        try:
            while queue:
                facts = queue[0]
                if recovered:
                    facts = await self._without_those_stored(facts)
                    recovered = False
                async with self._places:
                    await self._publish(facts)
                self._on_published(run_id, [fact.id for fact in queue[0]])
                queue.popleft()
        finally:
            self._tasks.pop(run_id, None)
            if queue:
                log.warning("%d groups of facts about %s stay in the journal", len(queue), run_id)
            else:
                self._queues.pop(run_id, None)

    async def _publish(self, facts: list[Envelope]) -> None:
        """Send until the broker has them all; the same ids each time, so that none stands there twice."""
        pause = 0.05
        left = facts
        while left:
            results = await asyncio.gather(*(self._send(fact) for fact in left), return_exceptions=True)
            failed: list[Envelope] = []
            for fact, result in zip(left, results, strict=True):
                if isinstance(result, BrokerRefused):
                    log.error("the broker refused %s of %s for good: %s", fact.type, fact.run_id, result)
                elif isinstance(result, BaseException):
                    if not isinstance(result, Unavailable):
                        raise result
                    failed.append(fact)
            left = failed
            if left:
                log.warning("%d facts about %s wait for the broker", len(left), left[0].run_id)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _send(self, fact: Envelope) -> Stored:
        failpoint.passing("publish.before")
        stored = await self._bus.publish(fact)
        failpoint.passing("publish.after")
        return stored

    async def _without_those_stored(self, facts: list[Envelope]) -> list[Envelope]:
        pause = 0.05
        while True:
            try:
                stored = {
                    message.headers.get("Nats-Msg-Id")
                    for subject in {fact.subject for fact in facts}
                    for message in await self._bus.read_once(LOG_STREAM, subject)
                }
            except Exception as error:  # noqa: BLE001 — whatever keeps the broker from answering, it is asked again
                log.warning("the log cannot be read yet (%s)", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return [fact for fact in facts if fact.id not in stored]
