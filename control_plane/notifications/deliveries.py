"""Carries out what is due: one durable consumer a target, so that a target that hangs holds up no other.

A notification is acknowledged when it was told, when it was given up (both stand in the log then), or when the broker
keeps its next attempt. Whatever dies in between, it comes again: it is told at least once, with the same id.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from control_plane.notifications.configuration import Configuration
from control_plane.notifications.due import Due, due_subject, set_due
from control_plane.notifications.message import Message, message_of
from control_plane.notifications.policy import wait_before
from control_plane.notifications.sending import Sent, send
from control_plane.notifications.settings import Target
from control_plane.plane_decisions import until_projected
from control_plane.read_model import ReadModel
from runplane.bus import Bus, Delivery
from runplane.contract.envelope import Envelope
from runplane.contract.events import NotificationDelivered, NotificationFailed
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor
from runplane.contract.subjects import TIMERS_STREAM, plane_event
from runplane.stamp import now, stamp

log = logging.getLogger("control_plane.notifications")

AT_ONCE = 4
"""Notifications that one target is told at the same time."""
RESULTS = frozenset({NotificationDelivered.__name__, NotificationFailed.__name__})
SOURCE = "plane/notifications"
_POLICY = Actor(principal="policy:notify", surface="policy")
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 2.0


class Deliveries:
    """Serves every target of the configuration, as that stands at each moment."""

    def __init__(
        self, bus: Bus, read_model: ReadModel, configuration: Configuration, default_dashboard: str
    ) -> None:
        """Nothing happens before :meth:`run`. ``default_dashboard``: where the dashboard is unless the file says so."""
        self._bus = bus
        self._read_model = read_model
        self._configuration = configuration
        self._default_dashboard = default_dashboard

    @property
    def dashboard(self) -> str:
        """The address for links."""
        return self._configuration.current().dashboard or self._default_dashboard

    async def run(self) -> None:
        """Serve for ever; targets that come and go are noticed within a second."""
        serving: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                wanted = {target.name for target in self._configuration.current().targets}
                for name in wanted - serving.keys():
                    serving[name] = asyncio.create_task(self._serve(name), name=f"notify {name}")
                for name in serving.keys() - wanted:
                    serving.pop(name).cancel()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in serving.values():
                task.cancel()
            await asyncio.gather(*serving.values(), return_exceptions=True)

    async def _serve(self, target: str) -> None:
        while True:
            try:
                await self._follow(target)
            except Exception as error:  # noqa: BLE001 — the broker may be away; what is due waits there
                log.warning("notifications to %s wait: %s", target, error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, target: str) -> None:
        consumer = await self._bus.durable(
            f"notify-{target}",
            due_subject(target),
            stream=TIMERS_STREAM,
            batch=AT_ONCE,
            ack_wait=_ack_wait(self._configuration.current().target(target)),
            max_ack_pending=4 * AT_ONCE,
        )
        try:
            while True:
                await asyncio.gather(*map(self._handle, await consumer.next()))
        finally:
            await consumer.close()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._carry_out(Due.model_validate_json(delivery.payload))
        except ValidationError:
            log.warning("the timer at %d is none of a notification: dropped", delivery.seq)
            answer = delivery.term()
        except Exception as error:  # noqa: BLE001 — the broker or the read model is behind; it comes again
            log.warning("a notification is put back: %s", error)
            answer = delivery.nak(_AGAIN_SECONDS)
        else:
            answer = delivery.ack()
        with contextlib.suppress(Exception):  # an answer that is lost brings it again, which the log prevents
            await answer

    async def _carry_out(self, one: Due) -> None:
        await until_projected(self._read_model, one.seq)
        record = self._read_model.record_at(one.seq)
        run = self._read_model.state_at(one.run_id, one.seq).run
        if record is None or run is None or self._is_settled(one):
            return
        message = message_of(one.about, record, run, self.dashboard)
        sent = await self._send(one, message)
        attempts = one.attempts + 1
        retry = self._configuration.current().retry
        wait = wait_before(retry, attempts, one.notification_id, asked=sent.retry_after)
        if sent.ok or sent.final or wait is None:
            await self._record(one, record, attempts, sent)
            return
        log.info("%s is not told of %s (%s): again in %.0f s", one.target, one.run_id, sent.error, wait)
        await set_due(
            self._bus, one.model_copy(update={"attempts": attempts}), now() + timedelta(seconds=wait)
        )

    async def _send(self, one: Due, message: Message) -> Sent:
        target = self._configuration.current().target(one.target)
        if target is None:
            return Sent(ok=False, error="the target was removed from the configuration", final=True)
        return await send(self._configuration, target, one.notification_id, message)

    def _is_settled(self, one: Due) -> bool:
        """Whether the log says already what became of it."""
        told = self._read_model.story(one.run_id, RESULTS)
        return any(
            isinstance(record.data, NotificationDelivered | NotificationFailed)
            and record.data.notification_id == one.notification_id
            for _, record in told
        )

    async def _record(self, one: Due, cause: Envelope, attempts: int, sent: Sent) -> None:
        result = result_of(
            sent, notification_id=one.notification_id, target=one.target, about=one.about, attempts=attempts
        )
        envelope = stamp(
            result,
            subject=plane_event(one.run_id),
            source=SOURCE,
            actor=_POLICY,
            cause=cause,
            record_id=derive_record_id(one.notification_id, "result"),
        )
        await self._bus.publish(envelope)


def _ack_wait(target: Target | None) -> float:
    """How long until a notification that died with its control plane comes again: two rounds may be handed over."""
    timeout = target.timeout if target is not None else 0.0
    return 2 + 3 * timeout


def result_of(
    sent: Sent, *, notification_id: str, target: str, about: str, attempts: int
) -> NotificationDelivered | NotificationFailed:
    """What the log is told of the last attempt."""
    fields: dict[str, Any] = {
        "notification_id": notification_id,
        "target": target,
        "about": about,
        "attempts": attempts,
        "status": sent.status,
    }
    return NotificationDelivered(**fields) if sent.ok else NotificationFailed(**fields, error=sent.error)
