"""The supervisor: the hall of the agent. Knows every run that is kept here, and hands each order to its keeper.

Who may call it: the consumer (orders), the heartbeat (samples), the composition root (recover, close). An order about a
run that nobody keeps is answered from the log: it came twice, came late, or this host has lost the run.
"""

import asyncio
import contextlib
import logging
from typing import Any

from agent.deciding import decided
from agent.hall import Hall
from agent.keeper import Keeper
from agent.slots import Slots
from runplane.contract.commands import RunCommand, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import CommandRejected, RunLost
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Failure, Resources
from runplane.contract.subjects import host_event, plane_command
from runplane.core.decide import owner
from runplane.core.fold import fold
from runplane.stamp import stamp

log = logging.getLogger("agent.supervisor")

_RECOVERY_PAUSE_SECONDS = 1.0
_RECOVERIES_AT_ONCE = 16
_DONE_SECONDS = 3.0


class Supervisor:
    """All runs of this host."""

    def __init__(self, hall: Hall, slots: Slots) -> None:
        """Empty; :meth:`recover` fills it."""
        self._hall = hall
        self._slots = slots
        self._keepers: dict[str, Keeper] = {}
        self._recovering = asyncio.Semaphore(_RECOVERIES_AT_ONCE)
        hall.bus.on_wake(self._was_away)

    @property
    def running(self) -> int:
        """How many runs are kept here, told ones excepted."""
        return self._slots.used

    def keeps(self, run_id: str) -> bool:
        """Whether the run is kept here."""
        return run_id in self._keepers

    async def recover(self, records: list[dict[str, Any]]) -> None:
        """Take up every run of the journal."""
        by_run: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            by_run.setdefault(str(record["run_id"]), []).append(record)
        keepers = {run_id: self._keep(run_id) for run_id in by_run}
        for _ in keepers:
            self._slots.occupy()
        await asyncio.gather(*(self._recover(keepers[run_id], own) for run_id, own in by_run.items()))
        if by_run:
            log.info("%d runs were found in the journal", len(by_run))

    async def _recover(self, keeper: Keeper, records: list[dict[str, Any]]) -> None:
        while True:
            try:
                async with self._recovering:
                    await keeper.recover(records)
            except Unavailable as error:
                log.warning("%s cannot be taken up yet: %s", keeper.run_id, error)
                await asyncio.sleep(_RECOVERY_PAUSE_SECONDS)
            except Exception:
                log.exception("%s could not be taken up", keeper.run_id)
                return
            else:
                return

    async def start(self, order: Envelope, start: StartRun) -> bool:
        """Start a run; the caller has taken a slot, which is given back when the run is over or not ours.

        Raises ``Unavailable`` when the order must come again, so that it is not acknowledged before it is on disk.
        """
        if self.keeps(start.run_id):
            self._slots.free()
            keeper = self._keepers[start.run_id]
            if keeper.story.attempt != start.attempt and keeper.story.handled:
                await self._until_done(start.run_id)
                raise Unavailable(f"an earlier attempt of {start.run_id} was still kept here")
            if not keeper.story.handled:
                raise Unavailable(
                    f"the order to start {start.run_id} came before: it is not on this host's disk yet"
                )
            return False
        keeper = self._keep(start.run_id)
        try:
            return await keeper.start(order, start)
        except Exception as error:
            # What stands on disk is taken up as if the agent had been restarted: the wish to claim, or more.
            records = [record for record in self._hall.journal.records() if record["run_id"] == start.run_id]
            if records:
                log.warning("%s is taken up again: %s", start.run_id, error)
                asyncio.create_task(self._recover(keeper, records), name=f"claim {start.run_id}")  # noqa: RUF006
                return True
            self._keepers.pop(start.run_id, None)
            self._slots.free()
            raise

    async def handle(self, order: Envelope, data: RunCommand) -> None:
        """Hand an order to the run's keeper, or answer it from the log."""
        keeper = self._keepers.get(data.run_id)
        if keeper is None or not await keeper.handle(order):
            await self._answer(order, data)

    def samples(self) -> dict[str, Resources]:
        """The resources of every tree, now."""
        taken = {run_id: keeper.sample() for run_id, keeper in list(self._keepers.items())}
        return {run_id: sample for run_id, sample in taken.items() if sample is not None}

    def heard(self, sent_at: float) -> None:
        """A heartbeat that was sent then has arrived; after a long silence, what others decided meanwhile is heard."""
        if self._hall.lease.renew(sent_at):
            self._was_away()

    def look_at_leases(self) -> None:
        """End what may not go on for so long without contact."""
        elapsed = self._hall.lease.elapsed
        for keeper in list(self._keepers.values()):
            keeper.look_at_lease(elapsed)

    async def close(self) -> None:
        """Let go of everything; the runs live on."""
        await asyncio.gather(*(keeper.close() for keeper in list(self._keepers.values())))

    def _was_away(self) -> None:
        """The broker is reached again."""
        for keeper in list(self._keepers.values()):
            keeper.was_away()

    def _keep(self, run_id: str) -> Keeper:
        keeper = Keeper(
            self._hall, run_id, on_free=self._slots.free, on_done=lambda: self._done(run_id, keeper)
        )
        self._keepers[run_id] = keeper
        return keeper

    async def _until_done(self, run_id: str) -> None:
        """What an attempt has left to tell is told before the next one begins here; the order for that comes again."""
        keeper = self._keepers.get(run_id)
        if keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DONE_SECONDS):
                    await keeper.gone.wait()

    def _done(self, run_id: str, keeper: Keeper) -> None:
        keeper.gone.set()
        if self._keepers.get(run_id) is keeper:
            del self._keepers[run_id]
        if self._hall.journal.needs_rewrite():
            self._hall.journal.rewrite()

    async def _answer(self, order: Envelope, data: RunCommand) -> None:
        """An order about a run that is not kept here. Raises ``Unavailable`` when it is now: the order comes again."""
        story = await self._hall.bus.story(data.run_id)
        if any(record.command_id == order.command_id and not record.is_command for _, record in story):
            return
        state = fold(story)
        host = self._hall.settings.host
        if owner(state) == host:
            if self.keeps(data.run_id):
                raise Unavailable(f"{data.run_id} was claimed here while it was looked for")
            failure = Failure(
                kind="journal_lost",
                message=f"the agent on {host} knows nothing of this run any more: its journal is gone",
            )
            await self._publish(RunLost(failure=failure), order, data.run_id, "lost")
            return
        decision = decided(state, data, await self._hall.bus.time_for(data))
        if decision and isinstance(decision[0], CommandRejected):
            await self._publish(decision[0], order, data.run_id, "rejected")
        elif decision:
            await self._hand_to_plane(order, data.run_id)

    async def _publish(
        self, fact: CommandRejected | RunLost, order: Envelope, run_id: str, what: str
    ) -> None:
        envelope = stamp(
            fact,
            subject=host_event(self._hall.settings.host, run_id),
            source=self._hall.source,
            actor=order.actor,
            cause=order,
            record_id=derive_record_id(order.id, what),
        )
        await self._hall.bus.publish(envelope)

    async def _hand_to_plane(self, order: Envelope, run_id: str) -> None:
        """The run ended before the order came: what is still to be decided is the plane's."""
        subject = plane_command(order.subject.rsplit(".", 1)[-1])
        forwarded = order.model_copy(
            update={
                "id": derive_record_id(order.id, "forward", "plane"),
                "subject": subject,
                "causation_id": order.id,
            }
        )
        log.info("%s about %s is handed to the control plane", order.type, run_id)
        await self._hall.bus.publish(forwarded)
