"""The lifecycle of a run: one table, keyed by status and by the name of the record.

A record that the table does not name for a status changes no status there. ``DECLARED`` stands for the
outcome that an ``OutcomeOverridden`` declares, ``PREVIOUS`` for the status before the host fell silent. The
diagram in ``docs/lifecycle.md`` is generated from this table. The form is the state table of h11.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from runplane.contract.run import ENDED, OPEN, Status

DECLARED: Final = "declared outcome"
PREVIOUS: Final = "status before"
ABSENT: Final = "absent"

Target = Status | str

_ENDINGS: dict[str, Target] = {
    "RunKilled": Status.KILLED,
    "RunTimedOut": Status.TIMED_OUT,
    "RunLost": Status.LOST,
    "RunFailed": Status.FAILED,
    "OutcomeOverridden": DECLARED,
    "AttemptFailed": Status.PENDING,
}
_ALIVE: dict[str, Target] = {
    **_ENDINGS,
    "RunCompleted": Status.COMPLETED,
    "RunTerminating": Status.TERMINATING,
    "RunUnreachable": Status.UNREACHABLE,
}

TABLE: Final[Mapping[str, Mapping[str, Target]]] = MappingProxyType(
    {
        ABSENT: {"StartRun": Status.PENDING, "RestartRun": Status.PENDING},
        Status.PENDING: {
            "RunClaimed": Status.STARTING,
            "RunCanceled": Status.CANCELED,
            "RunFailed": Status.FAILED,
            "RunTimedOut": Status.TIMED_OUT,
            "OutcomeOverridden": DECLARED,
            # Between two attempts only: see the objections.
            "RunKilled": Status.KILLED,
            "RunLost": Status.LOST,
        },
        Status.STARTING: {
            **_ENDINGS,
            "ProcessSpawned": Status.RUNNING,
            "RunTerminating": Status.TERMINATING,
            "RunUnreachable": Status.UNREACHABLE,
            "RunCanceled": Status.CANCELED,
        },
        Status.RUNNING: {**_ALIVE, "RunPaused": Status.PAUSED},
        Status.PAUSED: {**_ALIVE, "RunContinued": Status.RUNNING},
        Status.TERMINATING: {
            **_ENDINGS,
            "RunCompleted": Status.COMPLETED,
            "RunCanceled": Status.CANCELED,
            "RunUnreachable": Status.UNREACHABLE,
            "RunTerminating": Status.TERMINATING,  # another order gave the end another purpose
            "ProcessSpawned": Status.TERMINATING,  # the order overtook the start
        },
        Status.UNREACHABLE: {
            **_ENDINGS,
            "RunCompleted": Status.COMPLETED,
            "RunCanceled": Status.CANCELED,
            "RunReachable": PREVIOUS,
            # What the host saw while it was away may come before the plane says that it is back.
            "ProcessSpawned": Status.RUNNING,
            "RunPaused": Status.PAUSED,
            "RunContinued": Status.RUNNING,
            "RunTerminating": Status.TERMINATING,
        },
        **{status: {} for status in ENDED},
    }
)
"""From status, by record, to status. Endings lead nowhere: only a replacing ``OutcomeOverridden`` moves one."""

NEUTRAL: Final = frozenset(
    {
        "KillRun", "ForceCompleteRun", "PauseRun", "ContinueRun", "StepRun", "SetBreakpoints", "SetVariables",
        "DiagnoseRun", "StartRun", "CommandRejected", "RestartAccepted", "ProgressReported", "StepStarted",
        "StepCompleted", "StepFailed", "ReportSetAside", "ConditionRaised", "ConditionCleared",
        "DiagnosisTaken", "BreakpointsSet",
        "VariablesReported", "VariablesSet", "EvaluateExpression", "ExpressionEvaluated",
        "TerminationEscalated", "LeftoversFound", "SurvivorsFound",
        "EndAttempt", "DecideRun", "RetryScheduled", "RecoveryStarted", "RunAdmitted",
        "CheckpointStored", "CheckpointRefused", "CheckpointsPruned",
        "ProcessExited", "TreeVerifiedGone", "RunReachable", "NotificationDelivered", "NotificationFailed",
    }
)  # fmt: skip
"""Records that are told without moving the status."""


def follow(status: Status | None, record: str) -> Target | None:
    """The status a record leads to, or None where it leads nowhere."""
    return TABLE[status if status is not None else ABSENT].get(record)


def is_expected(status: Status | None, record: str) -> bool:
    """Whether a record of this name can be true in this status; what cannot is kept as an anomaly."""
    if follow(status, record) is not None:
        return True
    return status is not None and record in NEUTRAL


__all__ = [
    "ABSENT",
    "DECLARED",
    "ENDED",
    "NEUTRAL",
    "OPEN",
    "PREVIOUS",
    "TABLE",
    "Target",
    "follow",
    "is_expected",
]
