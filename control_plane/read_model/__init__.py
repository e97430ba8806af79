"""The read model: the log, folded into SQLite; written by the projector, read by everyone else.

``model`` is its face, ``views`` what it is asked and answers; ``projection`` writes, ``queries`` reads, ``changes``
tells whoever waits, ``schema`` knows the file.
"""

from control_plane.read_model.changes import Subscription
from control_plane.read_model.idempotency import IdempotencyStore, Remembered
from control_plane.read_model.live import Live, Pulse
from control_plane.read_model.model import ReadModel
from control_plane.read_model.views import (
    Change,
    EventFilter,
    HostView,
    RunFilter,
    RunPage,
    SetAside,
    WorkflowView,
)

__all__ = [
    "Change",
    "EventFilter",
    "HostView",
    "IdempotencyStore",
    "Live",
    "Pulse",
    "ReadModel",
    "Remembered",
    "RunFilter",
    "RunPage",
    "SetAside",
    "Subscription",
    "WorkflowView",
]
