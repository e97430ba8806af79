"""What the composition root hands to the HTTP application: the parts of the control plane, wired and running."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from control_plane.command_side import CommandSide
from control_plane.diagnoses import Diagnoses
from control_plane.notifications import Configuration, Deliveries
from control_plane.process_manager import ProcessManager
from control_plane.projector import Projector
from control_plane.read_model import IdempotencyStore, ReadModel
from control_plane.rebuild import RebuildReport
from control_plane.settings import Settings
from control_plane.telemetry import Telemetry
from runplane.bus import Bus


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Every part an HTTP route may use.

    ``rebuild`` folds the log anew beside the live model and compares; one at a time. ``not_ready`` says in a sentence
    why requests cannot be served as they should be yet (or just now), and is None when they can.
    """

    settings: Settings
    bus: Bus
    read_model: ReadModel
    command_side: CommandSide
    diagnoses: Diagnoses
    telemetry: Telemetry
    projector: Projector
    process_manager: ProcessManager
    notifications: Configuration
    deliveries: Deliveries
    idempotency: IdempotencyStore
    rebuild: Callable[[], Awaitable[RebuildReport]]
    not_ready: Callable[[], str | None]
