"""The HTTP client: what the command line and the MCP server say to the control plane, and nothing else says it.

``async with Client.from_environment(surface="cli") as client: run = await client.get_run("run_0dcbc991c0d4")``

Answers are models of ``runplane.contract`` and of ``answers``; errors are those of ``runplane.contract.errors``.
"""

from runplane.client.answers import (
    BulkKill,
    BulkKillItem,
    Change,
    CheckpointView,
    Commanded,
    Evaluation,
    HostView,
    NotificationTarget,
    NotificationTargets,
    NotificationTests,
    OutputItem,
    OutputPage,
    ProcessView,
    Rebuilt,
    Record,
    RecordPage,
    Restarted,
    RunPage,
    StepView,
    Token,
    WithNotes,
    WorkflowView,
)
from runplane.client.client import Client
from runplane.client.place import Place, find_plane

__all__ = [
    "BulkKill",
    "BulkKillItem",
    "Change",
    "CheckpointView",
    "Client",
    "Commanded",
    "Evaluation",
    "HostView",
    "NotificationTarget",
    "NotificationTargets",
    "NotificationTests",
    "OutputItem",
    "OutputPage",
    "Place",
    "ProcessView",
    "Rebuilt",
    "Record",
    "RecordPage",
    "Restarted",
    "RunPage",
    "StepView",
    "Token",
    "WithNotes",
    "WorkflowView",
    "find_plane",
]
