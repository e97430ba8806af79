"""What heartbeats and samples lay over the folded state; kept in memory by :mod:`control_plane.telemetry`."""

from typing import Protocol

from runplane.contract.run import Resources
from runplane.contract.telemetry import Pressure
from runplane.contract.value import Moment, Value


class Pulse(Value):
    """The last heartbeat of a host. ``online`` is by the plane's own clock, never by the host's."""

    online: bool
    draining: bool
    last_seen: Moment
    agent_id: str
    cpus: int
    load: tuple[float, float, float]
    memory_total: int
    memory_available: int
    slots: int
    slots_used: int
    pressure: Pressure | None = None


class Live(Protocol):
    """Whoever follows the telemetry stream.

    ``settled``: it has been followed for so long that a host which was not heard from is not there.
    """

    @property
    def settled(self) -> bool:
        """Whether silence means something."""

    def resources(self, run_id: str) -> Resources | None:
        """The last sample of the run's tree."""

    def pulse(self, host_id: str) -> Pulse | None:
        """The host's last heartbeat."""

    def forget(self, run_id: str) -> None:
        """The run has ended: its samples are no longer asked for."""


class Silence:
    """Nothing was heard of anyone: what a rebuild and the audit see. It means nothing either."""

    settled = False

    def resources(self, run_id: str) -> Resources | None:  # noqa: ARG002
        """Nothing."""
        return None

    def pulse(self, host_id: str) -> Pulse | None:  # noqa: ARG002
        """Nothing."""
        return None

    def forget(self, run_id: str) -> None:
        """Nothing to forget."""
