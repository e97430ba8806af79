"""The process manager: hands the plane's commands and all events to what decides about them.

Two durable consumers, shared by all replicas of the control plane. A record is acknowledged when it was handled; one
that keeps failing is given up after some tries and counted, one that only came too early (the broker or the read
model is behind) is put back for as long as that lasts.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import Protocol

from control_plane.command_side import CommandSide
from control_plane.notifications import Notifier
from control_plane.plane_decisions import LostTooOften, PlaneDecisions
from control_plane.read_model import ReadModel
from control_plane.recovery.absences import Absences
from control_plane.recovery.admission import Admission
from control_plane.recovery.pruning import Pruning
from control_plane.recovery.retries import Retries
from control_plane.recovery.successors import Successors
from control_plane.recovery.timers import Handler as TimerHandler
from control_plane.recovery.timers import Timers, What
from control_plane.restarts import Restarts
from control_plane.stuck_actions import StuckActions
from control_plane.telemetry import Telemetry
from runplane.bus import Bus, Delivery
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.errors import Unavailable
from runplane.contract.subjects import ALL_EVENTS, PLANE_COMMANDS

log = logging.getLogger("control_plane.process_manager")

COMMANDS = "process-manager-commands"
EVENTS = "process-manager-events"
MAX_FAILURES = 5
AT_ONCE = 16
"""Runs whose records are handled at the same time; the records of one run are handled in order."""
_LATER_SECONDS = 1.0


class Handler(Protocol):
    """What decides about records of one kind."""

    async def handle(self, envelope: Envelope, seq: int, *, again: bool) -> None:
        """Handle one record; handling it twice changes nothing."""


class ProcessManager:
    """``given_up`` counts the records that could not be handled."""

    def __init__(
        self,
        bus: Bus,
        read_model: ReadModel,
        notifier: Notifier | None = None,
        heard: Telemetry | None = None,
        command_side: CommandSide | None = None,
    ) -> None:
        """Nothing happens before :meth:`run`.

        Without a ``notifier`` nobody is told of anything; without ``heard``, nothing is known of silent hosts; without
        ``command_side``, no other workflow follows a run that failed.
        """
        self._bus = bus
        admission = Admission(bus, read_model)
        self._decisions = PlaneDecisions(bus, read_model, admission)
        retries = Retries(bus, read_model)
        self._absences = Absences(bus, read_model, heard) if heard is not None else None
        timers: dict[What, TimerHandler] = {
            "retry": retries.begin,
            "run": admission.time_out_run,
            "queue": admission.time_out_queue,
        }
        if self._absences is not None:
            timers["lost"] = self._absences.give_up
        successors = Successors(bus, read_model, command_side) if command_side is not None else None
        self._events = _EventHandlers(
            Restarts(bus, read_model),
            (
                StuckActions(bus, read_model),
                admission,
                retries,
                Pruning(bus, read_model),
                self._absences,
                successors,
                notifier,
            ),
        )
        self._timers = Timers(bus, timers)
        self._failures: dict[tuple[str, int], int] = {}
        self.given_up = 0

    async def run(self) -> None:
        """Handle records for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(COMMANDS, PLANE_COMMANDS, self._decisions), name=COMMANDS)
            group.create_task(self._follow(EVENTS, ALL_EVENTS, self._events), name=EVENTS)
            group.create_task(self._timers.run(), name="timers")
            if self._absences is not None:
                group.create_task(self._absences.run(), name="absent hosts")

    async def _follow(self, name: str, subject_filter: str, handler: Handler) -> None:
        consumer = await self._bus.durable(name, subject_filter)
        limit = asyncio.Semaphore(AT_ONCE)

        async def in_order(deliveries: Iterable[Delivery]) -> None:
            async with limit:
                for delivery in deliveries:
                    await self._handle(name, delivery, handler)

        try:
            while True:
                batch = sorted(await consumer.next(), key=_run_then_seq)
                by_run = [list(deliveries) for _, deliveries in itertools.groupby(batch, key=_run_of)]
                await asyncio.gather(*map(in_order, by_run))
        finally:
            await consumer.close()

    async def _handle(self, name: str, delivery: Delivery, handler: Handler) -> None:
        answer: Awaitable[None]
        try:
            await self._try(delivery, handler)
        except Unreadable:  # the projector sets it aside and says so
            answer = delivery.term()
        except (Unavailable, LostTooOften) as error:
            log.warning("the record at %d is put back: %s", delivery.seq, error)
            answer = delivery.nak(_LATER_SECONDS)
        except Exception as error:  # noqa: BLE001 — one record may not keep the others
            answer = self._failed((name, delivery.seq), delivery, error)
        else:
            answer = delivery.ack()
            self._failures.pop((name, delivery.seq), None)
        with suppress(Exception):  # an answer that is lost brings the record again, which does no harm
            await answer

    async def _try(self, delivery: Delivery, handler: Handler) -> None:
        envelope = parse(delivery.payload, delivery.subject)
        await handler.handle(envelope, delivery.seq, again=delivery.delivery_count > 1)

    def _failed(self, record: tuple[str, int], delivery: Delivery, error: Exception) -> Awaitable[None]:
        failures = self._failures[record] = self._failures.get(record, 0) + 1
        log.error(
            "the record at %d could not be handled (%d of %d)",
            delivery.seq,
            failures,
            MAX_FAILURES,
            exc_info=error,
        )
        if failures < MAX_FAILURES:
            return delivery.nak(_LATER_SECONDS * 2 ** (failures - 1))
        self.given_up += 1
        self._failures.pop(record, None)
        log.error("the record at %d on %s is given up: see the lines above", delivery.seq, delivery.subject)
        return delivery.term()


class Listener(Protocol):
    """What looks at every event."""

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; looking at it twice changes nothing."""


class _EventHandlers:
    """All that turns on an event, one after the other."""

    def __init__(self, restarts: Restarts, listeners: Iterable[Listener | None]) -> None:
        self._restarts = restarts
        self._listeners = [listener for listener in listeners if listener is not None]

    async def handle(self, envelope: Envelope, seq: int, *, again: bool) -> None:
        await self._restarts.handle(envelope, seq, again=again)
        for listener in self._listeners:
            await listener.handle(envelope, seq)


def _run_of(delivery: Delivery) -> str:
    return delivery.subject.rsplit(".", 1)[-1]


def _run_then_seq(delivery: Delivery) -> tuple[str, int]:
    return _run_of(delivery), delivery.seq
