"""The heartbeat: one message an interval says that the host is there, how loaded it is, and what its runs use.

The cost grows with hosts, not with runs. A beat that cannot be sent is dropped: the next one says more.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from agent.lease import clock
from runplane.bus import Bus
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Resources
from runplane.contract.subjects import telemetry
from runplane.contract.telemetry import HostTelemetry, Memory, Pressure, Slots
from runplane.stamp import now

log = logging.getLogger("agent.heartbeat")


class Heartbeat:
    """Beats every ``interval`` seconds."""

    def __init__(self, bus: Bus, *, host: str, agent_id: str, boot_id: str, interval: float) -> None:
        """Nothing is sent before :meth:`run`."""
        self._bus = bus
        self._host = host
        self._agent_id = agent_id
        self._boot_id = boot_id
        self._interval = interval
        self._seq = 0

    async def run(
        self,
        samples: Callable[[], dict[str, Resources]],
        slots: Callable[[], Slots],
        *,
        renew: Callable[[float], None],
        beaten: Callable[[], None],
    ) -> None:
        """Beat for ever. ``renew`` is told when a beat that arrived was sent, ``beaten`` comes after each."""
        while True:
            self._seq += 1
            beat = HostTelemetry(
                host=self._host,
                agent_id=self._agent_id,
                boot_id=self._boot_id,
                time=now(),
                seq=self._seq,
                interval_seconds=self._interval,
                load=os.getloadavg(),
                cpus=os.cpu_count() or 1,
                memory=memory(),
                slots=slots(),
                pressure=pressure(),
                runs=samples(),
            )
            sent_at = clock()
            try:
                await self._bus.publish_bytes(
                    telemetry(self._host), beat.model_dump_json().encode(), timeout=self._interval
                )
            except RunplaneError as error:
                log.warning("a heartbeat was dropped: %s", error.message)
            else:
                renew(sent_at)
            beaten()
            await asyncio.sleep(self._interval)


def pressure(directory: Path = Path("/proc/pressure")) -> Pressure | None:
    """How much work waits for cores, memory and disks; None where the kernel does not say."""
    found: dict[str, float] = {}
    for what in ("cpu", "memory", "io"):
        try:
            lines = (directory / what).read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            name, _, rest = line.partition(" avg10=")
            if f"{what}_{name}" in Pressure.model_fields:
                found[f"{what}_{name}"] = float(rest.split(" ", 1)[0])
    return Pressure(**found)


def memory() -> Memory:
    """The machine's memory, from ``/proc/meminfo``."""
    fields: dict[str, int] = {}
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 — read every beat
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                fields[name] = int(rest.split()[0]) * 1024
    return Memory(total=fields.get("MemTotal", 0), available=fields.get("MemAvailable", 0))
