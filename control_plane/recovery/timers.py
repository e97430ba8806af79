"""What the control plane has set itself to look at again later: kept by the broker, so it survives every restart.

Owns the timers of runs. Whoever gets one that is due decides again from the run as it then stands; a timer that comes
twice, or too late, does no harm.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from runplane.bus import Bus, Delivery
from runplane.contract.ids import RunId
from runplane.contract.subjects import TIMERS_STREAM, due, timer
from runplane.contract.value import Moment, Value

log = logging.getLogger("control_plane.recovery")

KIND = "run"
What = Literal["retry", "run", "queue", "lost"]
"""The next attempt; the run's own time; its time in the queue; its silent host."""
_CONSUMER = "plane-timers"
_AGAIN_SECONDS = 1.0
_AT_ONCE = 32


class RunTimer(Value):
    """To be looked at: ``what`` of a run, set in its attempt ``attempt``, due ``at`` by the broker's clock."""

    what: What
    run_id: RunId
    attempt: int
    at: Moment


Handler = Callable[[RunTimer], Awaitable[None]]


async def set_timer(bus: Bus, what: What, run_id: str, attempt: int, at: datetime) -> None:
    """Have it looked at then. There is one of each kind a run: setting another moves it."""
    one = RunTimer(what=what, run_id=run_id, attempt=attempt, at=at)
    await bus.set_timer(
        at,
        key=timer(KIND, what, run_id),
        due=due(KIND, what),
        payload=one.model_dump_json().encode(),
        message_id=f"{what}/{run_id}/{attempt}/{at.timestamp():.6f}",
    )


class Timers:
    """Hands what is due to the handler of its kind."""

    def __init__(self, bus: Bus, handlers: Mapping[What, Handler]) -> None:
        """Nothing happens before :meth:`run`."""
        self._bus = bus
        self._handlers = handlers

    async def run(self) -> None:
        """Look at what is due, for ever."""
        consumer = await self._bus.durable(
            _CONSUMER, due(KIND, "*"), stream=TIMERS_STREAM, batch=_AT_ONCE, ack_wait=30.0
        )
        try:
            while True:
                await asyncio.gather(*map(self._handle, await consumer.next()))
        finally:
            await consumer.close()

    async def _handle(self, delivery: Delivery) -> None:
        answer: Awaitable[None]
        try:
            one = RunTimer.model_validate_json(delivery.payload)
            await self._handlers[one.what](one)
        except ValidationError:
            log.warning("the timer at %d cannot be read: dropped", delivery.seq)
            answer = delivery.term()
        except Exception as error:  # noqa: BLE001 — the broker or the read model is behind; it comes again
            log.warning("a timer is put back: %s", error)
            answer = delivery.nak(_AGAIN_SECONDS)
        else:
            answer = delivery.ack()
        with contextlib.suppress(Exception):  # an answer that is lost brings it again, which does no harm
            await answer
