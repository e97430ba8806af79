"""The consumer: pulls orders for this host, and new runs from its pools while there is a free slot.

An order is acknowledged once its meaning is on this host's disk. One that cannot be read is set aside at once; one
whose handling fails comes again, and after :data:`MOST_DELIVERIES` is set aside too, so that the others go on. Where it
is the disk or the broker that is not to be had, it comes again for as long as that lasts.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, get_args

from agent import failpoint
from agent.slots import Slots
from agent.supervisor import Supervisor
from runplane.bus import Bus, Consumer, Delivery
from runplane.contract.commands import RunCommand, StartRun
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.errors import Unavailable
from runplane.contract.subjects import host_commands, pool_commands

log = logging.getLogger("agent.consumer")

MOST_DELIVERIES = 20
_RETRY_SECONDS = 1.0
_FULL_RETRY_SECONDS = 2.0
_ACK_WAIT_SECONDS = 5.0
"""After so long an order that was not acknowledged, since its agent died, comes again."""
_RUN_COMMANDS = get_args(RunCommand)


class OrderConsumer:
    """One loop for the host's own orders, one for each pool."""

    def __init__(
        self, bus: Bus, supervisor: Supervisor, slots: Slots, host: str, pools: tuple[str, ...]
    ) -> None:
        """Nothing is pulled before :meth:`run`."""
        self._bus = bus
        self._supervisor = supervisor
        self._slots = slots
        self._host = host
        self._pools = pools
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Pull for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._host_loop())
            for pool in self._pools:
                loops.create_task(self._pool_loop(pool))

    async def _host_loop(self) -> None:
        consumer = await self._bus.durable(
            f"host-{self._host}", host_commands(self._host), batch=200, ack_wait=_ACK_WAIT_SECONDS
        )
        while True:
            for delivery in await consumer.next():
                self._spawn(self._host_order(delivery))

    async def _pool_loop(self, pool: str) -> None:
        consumer = await self._bus.durable(
            f"pool-{pool}", pool_commands(pool), batch=1, ack_wait=_ACK_WAIT_SECONDS
        )
        while True:
            await self._slots.take()
            for delivery in await self._one(consumer):
                self._spawn(self._start(delivery))

    async def _one(self, consumer: Consumer) -> list[Delivery]:
        """Wait for a new run; the slot for it is taken already."""
        try:
            while not (deliveries := await consumer.next()):
                pass
        except BaseException:
            self._slots.free()
            raise
        for _ in deliveries[1:]:
            self._slots.occupy()
        return deliveries

    async def _host_order(self, delivery: Delivery) -> None:
        order = await self._read(delivery)
        if order is None:
            return
        if isinstance(order.data, StartRun):
            if self._slots.try_take():
                await self._start_by(delivery, order)
            else:
                await delivery.nak(_FULL_RETRY_SECONDS)
            return
        try:
            await self._supervisor.handle(order, order.data)  # type: ignore[arg-type]  # _read lets nothing else through
        except Exception as error:  # noqa: BLE001 — whatever failed, the order must come again and the others go on
            await self._again(delivery, error)
        else:
            await _ack(delivery)

    async def _start(self, delivery: Delivery) -> None:
        order = await self._read(delivery)
        if order is None or not isinstance(order.data, StartRun):
            self._slots.free()
            if order is not None:
                await delivery.term()
            return
        await self._start_by(delivery, order)

    async def _start_by(self, delivery: Delivery, order: Envelope) -> None:
        assert isinstance(order.data, StartRun)  # noqa: S101 — both callers have looked
        try:
            await self._supervisor.start(order, order.data)
        except Exception as error:  # noqa: BLE001 — the same
            await self._again(delivery, error)
        else:
            await _ack(delivery)

    async def _read(self, delivery: Delivery) -> Envelope | None:
        try:
            order = parse(delivery.payload, delivery.subject)
        except Unreadable as error:
            log.warning("order at %d is set aside: %s", delivery.seq, error)
            await delivery.term()
            return None
        if not isinstance(order.data, _RUN_COMMANDS):
            log.warning("order at %d is set aside: an agent does not carry out %s", delivery.seq, order.type)
            await delivery.term()
            return None
        return order

    async def _again(self, delivery: Delivery, error: Exception) -> None:
        if delivery.delivery_count >= MOST_DELIVERIES and not isinstance(error, Unavailable):
            log.error(
                "order at %d is set aside after %d tries: %r", delivery.seq, delivery.delivery_count, error
            )
            await delivery.term()
            return
        log.warning("order at %d will come again: %r", delivery.seq, error)
        await delivery.nak(_RETRY_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _ack(delivery: Delivery) -> None:
    failpoint.passing("ack.before")
    await delivery.ack()
    failpoint.passing("ack.after")
