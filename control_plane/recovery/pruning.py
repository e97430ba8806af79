"""Removes checkpoints that newer ones have made superfluous, as ``recovery.keep`` says. Handed every event.

What is removed is told first, so that nobody looks for it; telling and removing it twice changes nothing. A file that
another checkpoint has as well stays.
"""

import logging

from control_plane.plane_decisions import SOURCE, until_projected
from control_plane.read_model import EventFilter, ReadModel
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.contract.events import CheckpointsPruned, CheckpointStored
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor
from runplane.contract.subjects import plane_event
from runplane.stamp import stamp

log = logging.getLogger("control_plane.recovery")

POLICY = Actor(principal="policy:checkpoints", surface="policy")


class Pruning:
    """Of every run. Looks once in ``keep`` checkpoints, so that its cost does not grow with their number."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`handle`."""
        self._bus = bus
        self._read_model = read_model

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; nearly all of them are no concern of this."""
        stored, run_id = envelope.data, envelope.run_id
        if not isinstance(stored, CheckpointStored) or run_id is None:
            return
        await until_projected(self._read_model, seq)
        state = self._read_model.state(run_id)
        keep = state.spec.recovery.keep if state is not None and state.spec is not None else 0
        if not keep or self._read_model.count(run_id, CheckpointStored.__name__, up_to=seq) % keep:
            return
        wanted = EventFilter(
            type=CheckpointStored.__name__, run_id=run_id, before_seq=seq + 1, newest=True, limit=3 * keep
        )
        found = [
            one.data for _, one in self._read_model.events(wanted) if isinstance(one.data, CheckpointStored)
        ]
        old, kept = found[:-keep], found[-keep:]
        if not old:
            return
        pruned = CheckpointsPruned(digests=tuple(one.digest for one in old))
        await self._bus.publish(
            stamp(
                pruned,
                subject=plane_event(run_id),
                source=SOURCE,
                actor=POLICY,
                cause=envelope,
                record_id=derive_record_id(envelope.id, "pruned"),
            )
        )
        for digest in self._superfluous(run_id, old, kept):
            await self._bus.objects.remove(digest)

    def _superfluous(
        self, run_id: str, old: list[CheckpointStored], kept: list[CheckpointStored]
    ) -> list[str]:
        needed = {one.digest for one in kept} | {file.digest for one in kept for file in one.files.values()}
        files = {file.digest for one in old for file in one.files.values()} - needed
        alone = [digest for digest in files if not self._read_model.mentions(digest, but_not=run_id)]
        return [*(one.digest for one in old if one.digest not in needed), *alone]
