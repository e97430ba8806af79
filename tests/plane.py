"""The state side of a control plane in the test's own process, on a real broker.

As a program (``python -m tests.plane FILE``, the broker in RUNPLANE_NATS_URL) it only projects, to be killed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from control_plane.command_side import CommandSide
from control_plane.process_manager import ProcessManager
from control_plane.projector import Projector
from control_plane.read_model import ReadModel
from control_plane.telemetry import Telemetry
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.core.state import RunState

LIMIT = 20.0


@dataclass(frozen=True, kw_only=True)
class Plane:
    """``loops`` are the running tasks, by name."""

    bus: Bus
    read_model: ReadModel
    projector: Projector
    process_manager: ProcessManager
    loops: dict[str, "asyncio.Task[None]"]

    async def put(self, *records: Envelope) -> int:
        """Publish the records in order; returns the position of the last one."""
        return await put(self.bus, records)

    async def settled(self) -> None:
        """Wait until everything that is in the log has been projected."""
        assert await self.read_model.wait_for(await self.bus.last_seq(), LIMIT), (
            "the projection does not go on"
        )

    async def until(self, run_id: str, status: str) -> RunState:
        """Wait until the run has a status."""
        return await self.read_model.wait_until(run_id, lambda state: state.status == status, LIMIT)


async def put(bus: Bus, records: Iterable[Envelope]) -> int:
    """Publish records in order; returns the position of the last one."""
    seq = 0
    for record in records:
        seq = (await bus.publish(record)).seq
    return seq


@asynccontextmanager
async def plane(
    url: str,
    directory: Path,
    *,
    manage: bool = True,
    project: bool = True,
    absent_seconds: float | None = None,
) -> AsyncIterator[Plane]:
    """A running state side, or parts of it; its loops must still be running at the end unless the test ended them.

    With ``absent_seconds`` it listens to the hosts as well, and one is silent after so long.
    """
    bus = await Bus.connect(url, name="test-plane")
    await bus.ensure_streams()
    heard = Telemetry(bus, absent_seconds=absent_seconds) if absent_seconds is not None else None
    read_model = ReadModel(directory / "read_model.sqlite", heard)
    projector = Projector(bus, read_model)
    manager = ProcessManager(bus, read_model, heard=heard, command_side=CommandSide(bus, read_model))
    wanted = {"projector": projector.run} if project else {}
    if heard is not None:
        wanted["telemetry"] = heard.run
    if manage:
        wanted["process manager"] = manager.run
    loops = {name: asyncio.create_task(run(), name=name) for name, run in wanted.items()}
    try:
        yield Plane(bus=bus, read_model=read_model, projector=projector, process_manager=manager, loops=loops)
    finally:
        for task in loops.values():
            task.cancel()
        await asyncio.gather(*loops.values(), return_exceptions=True)
        read_model.close()
        await bus.close()


async def _project_for_ever(path: Path) -> None:
    bus = await Bus.connect(os.environ["RUNPLANE_NATS_URL"], name="test-projector")
    await Projector(bus, ReadModel(path)).run()


if __name__ == "__main__":
    asyncio.run(_project_for_ever(Path(sys.argv[1])))
