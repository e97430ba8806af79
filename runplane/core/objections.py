"""Why a record cannot be true of a run as it stands. Whatever is objected to is kept as an anomaly.

A record may be foreign (of another run, or of a host that does not hold the run), late (of an earlier attempt,
or after the end), unproven, or simply impossible by the lifecycle table. These are the rules that the
promises about endings rest on, so each says in words what it holds against the record.
"""

from typing import Final

from runplane.contract.commands import DrainHost, RestartRun, StartRun, UndrainHost
from runplane.contract.envelope import COMMAND_TYPES, Envelope
from runplane.contract.events import (
    CommandRejected,
    OutcomeOverridden,
    ProcessExited,
    RetryScheduled,
    RunClaimed,
    RunKilled,
    RunLost,
    RunReachable,
    RunUnreachable,
    TreeVerifiedGone,
)
from runplane.contract.run import Run, Status
from runplane.core.state import RunState
from runplane.core.status import is_expected

AFTER_THE_END: Final = frozenset(
    {
        "CommandRejected",
        "RestartAccepted",
        "TreeVerifiedGone",
        "ProcessExited",
        "DiagnosisTaken",
        "RecoveryStarted",
        "CheckpointsPruned",
        "NotificationDelivered",
        "NotificationFailed",
    }
)
"""Facts that may still be told of an ended run: a detached tree ends later, a restart comes later."""

_RUN_COMMANDS: Final = frozenset(COMMAND_TYPES) - {DrainHost.__name__, UndrainHost.__name__}


def objection(state: RunState, run: Run, record: Envelope) -> str | None:
    """Why the record cannot be true of the run; None where it can."""
    if record.run_id != run.run_id:
        return f"it belongs to {record.run_id or 'no run'}"
    if record.is_command:
        return _against_command(state, run, record)
    if is_of_an_attempt_that_is_over(run, record):
        return None
    return (
        _of_foreign_host(run, record)
        or _too_late(run, record)
        or _unproven(record)
        or _impossible(run, record)
    )


def is_of_an_attempt_that_is_over(run: Run, record: Envelope) -> bool:
    """Whether a host tells how an attempt ended that the run had left behind: that is told of the attempt alone."""
    if not isinstance(record.data, ProcessExited | TreeVerifiedGone) or record.attempt is None:
        return False
    if record.attempt == run.attempt and not (run.status is Status.PENDING and run.attempts):
        return False
    return any(one.attempt == record.attempt and one.host == record.host for one in run.attempts)


def _against_command(state: RunState, run: Run, record: Envelope) -> str | None:
    """A command states nothing, so little can be wrong with it; whether it is carried out is for ``decide``."""
    data = record.data
    if isinstance(data, RestartRun):
        foreign = data.new_run_id != run.run_id or data.run_id != run.restarted_from
        return f"it is a restart of {data.run_id} as {data.new_run_id}" if foreign else None
    if record.type not in _RUN_COMMANDS:
        return f"{record.type} is no order to a run"
    if getattr(data, "run_id", None) != run.run_id:
        return f"it is an order to {getattr(data, 'run_id', 'no run')}"
    if isinstance(data, StartRun) and data.spec != state.spec:
        return "the run was asked for before, with another configuration"
    return None


def _of_foreign_host(run: Run, record: Envelope) -> str | None:
    data = record.data
    if isinstance(data, RunUnreachable | RunReachable) and data.host != run.host:
        return f"it speaks of host {data.host}, the run is held by {run.host or 'nobody'}"
    if record.host is None:
        return None
    if isinstance(data, RunClaimed):
        return f"host {record.host} claims it for {data.host}" if data.host != record.host else None
    if isinstance(data, CommandRejected):
        return None
    if run.attempt == 0:
        return f"host {record.host} has not claimed the run"
    return (
        f"it comes from host {record.host}, the run is held by {run.host}"
        if record.host != run.host
        else None
    )


def _too_late(run: Run, record: Envelope) -> str | None:
    data = record.data
    if isinstance(data, RunClaimed):
        if run.status is not Status.PENDING:
            where = f" on host {run.host}" if run.attempt else ""
            return f"host {data.host} claims it, but it is {run.status}{where}"
        if run.host is not None and data.host != run.host:
            return f"host {data.host} claims it, but it is meant for host {run.host}"
        if data.attempt != run.attempt + 1:
            return f"attempt {data.attempt} is claimed, but {run.attempt + 1} is next"
        return None
    if record.attempt is not None and record.attempt != run.attempt:
        return f"it speaks of attempt {record.attempt}, the run is in attempt {run.attempt}"
    if not run.status.ended or record.type in AFTER_THE_END:
        return None
    if isinstance(data, OutcomeOverridden) and data.replaced:
        return None
    return f"the run had already ended as {run.status}"


def _unproven(record: Envelope) -> str | None:
    """``killed`` is a promise that every process is gone; without the proof it is not believed."""
    if not isinstance(record.data, RunKilled):
        return None
    receipt = record.data.receipt
    if receipt.survivors:
        return f"its receipt names {len(receipt.survivors)} survivors"
    return None if receipt.verified else "its receipt does not prove that every process is gone"


def _impossible(run: Run, record: Envelope) -> str | None:
    data = record.data
    if isinstance(data, RetryScheduled) and (
        run.status is not Status.PENDING or data.attempt != run.attempt + 1
    ):
        return f"attempt {data.attempt} is scheduled, but the run is {run.status} in attempt {run.attempt}"
    if isinstance(data, RunKilled | RunLost) and run.status is Status.PENDING and not run.attempts:
        return f"{record.type} cannot happen to a run that never had a process"
    if isinstance(data, OutcomeOverridden) or is_expected(run.status, record.type):
        return None
    return f"{record.type} cannot happen to a run that is {run.status}"
