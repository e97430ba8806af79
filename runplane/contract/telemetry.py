"""Telemetry: one message a host and interval, with the heartbeat and the samples of all its runs.

Never part of the fold. ``time`` and ``sampled_at`` are the host's clock and only shown; whether a host is
there is judged by when its messages arrive.
"""

from pydantic import Field

from runplane.contract.ids import HostId, RunId
from runplane.contract.run import Resources
from runplane.contract.value import Moment, Value


class Memory(Value):
    """The host's memory in bytes."""

    total: int = 0
    available: int = 0


class Slots(Value):
    """How many attempts the host takes at once, and how many it holds."""

    total: int = 0
    used: int = 0


class Pressure(Value):
    """The share of the last 10 s, in percent, that some (or all, ``full``) work waited for what is scarce.

    From ``/proc/pressure`` (Linux 4.20).
    """

    cpu_some: float = 0.0
    memory_some: float = 0.0
    memory_full: float = 0.0
    io_some: float = 0.0
    io_full: float = 0.0


class HostTelemetry(Value):
    """The heartbeat of one host, and the last sample of each of its runs. ``load`` over 1, 5 and 15 minutes."""

    host: HostId
    agent_id: str
    boot_id: str
    time: Moment
    seq: int = 0
    interval_seconds: float = 2.0
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cpus: int = 0
    memory: Memory = Memory()
    slots: Slots = Slots()
    draining: bool = False
    pressure: Pressure | None = None
    runs: dict[RunId, Resources] = Field(default_factory=dict)
