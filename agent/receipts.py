"""What was seen of processes, put into the words of the contract: receipts, exits and reasons of failure.

Pure: called by the keeper with what the process wing handed over.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from agent.process.errors import LaunchError
from agent.process.identity import ProcessIdentity
from agent.process.records import ExitRecord, ProcessFacts, TreeEnded
from agent.process.records import Survivor as SeenSurvivor
from runplane.contract.run import (
    Cleanup,
    Exit,
    Failure,
    Freed,
    KillReceipt,
    ProcessEnd,
    ProcessRef,
    SignalSent,
    Survivor,
)
from runplane.core.state import Termination


def receipt_of(termination: Termination, ended: TreeEnded, cleanup: Cleanup) -> KillReceipt:
    """The proof of an ending. ``cleanup``: of the workspace."""
    return KillReceipt(
        command_id=termination.command_id or "",
        requested_by=termination.requested_by,
        via=termination.via,
        reason=termination.reason,
        method=ended.method,
        signals=tuple(SignalSent(signal=s.signal, pid=s.pid, at=moment(s.at)) for s in ended.signals),
        processes=tuple(
            ProcessEnd(
                pid=p.pid, start_time=p.start_time, cmdline=p.cmdline, exit=p.exit, rss_bytes=p.rss_bytes
            )
            for p in ended.processes
        ),
        survivors=survivors_of(ended.survivors),
        verified=ended.verified,
        verified_by=ended.verified_by,
        freed=Freed(
            rss_bytes=ended.freed_rss_bytes,
            open_files=ended.freed_open_files,
            listening_ports=ended.listening_ports,
        ),
        cleanup=cleanup.model_copy(
            update={
                "sockets_removed": ended.remains.sockets,
                "shared_memory_removed": ended.remains.segments,
                "shared_memory_bytes_removed": ended.remains.segment_bytes,
            }
        ),
        started_at=moment(ended.started_at),
        ended_at=moment(ended.ended_at),
        duration_ms=ended.duration_ms,
    )


def survivors_of(survivors: Iterable[SeenSurvivor]) -> tuple[Survivor, ...]:
    """Those that were not gone when the limit was over."""
    return tuple(
        Survivor(pid=s.pid, start_time=s.start_time, cmdline=s.cmdline, why=s.why) for s in survivors
    )


def leftovers_of(processes: Iterable[ProcessFacts]) -> tuple[Survivor, ...]:
    """Processes that live on after the main one ended; at most 50 are named."""
    return tuple(
        Survivor(pid=p.pid, start_time=p.start_time, cmdline=p.cmdline, why=f"alive (state {p.state})")
        for p in list(processes)[:50]
    )


def exit_of(record: ExitRecord | None) -> Exit | None:
    """How the main process ended, where that is known."""
    return Exit(code=record.code, signal=record.signal) if record is not None else None


def exited(record: ExitRecord | None) -> dict[str, Any]:
    """The fields of ``ProcessExited``."""
    used = record.rusage if record is not None else None
    return {
        "exit": exit_of(record),
        "user_seconds": used.user_seconds if used else None,
        "system_seconds": used.system_seconds if used else None,
        "max_rss_bytes": used.max_rss_bytes if used else None,
    }


def reference_of(identity: ProcessIdentity) -> ProcessRef:
    """A process, beyond doubt."""
    return ProcessRef(boot_id=identity.boot_id, pid=identity.pid, start_time=identity.start_time)


def ended_by_itself(ended: TreeEnded) -> bool:
    """Whether the main process had ended before anything was done to it."""
    return ended.exit is not None and not ended.asked


def failure_of(record: ExitRecord | None) -> Failure | None:
    """Why this ending is a failure; None for exit code 0."""
    if record is None:
        return Failure(
            kind="exit_unknown",
            message="the main process ended while nobody could see how: its keeper had been killed before it",
        )
    if record.launch_error is not None:
        return Failure(kind="launch_failed", message=f"the program never ran: {record.launch_error}")
    if record.signal is not None:
        return Failure(
            kind="signal",
            message=f"the main process was ended by {record.signal}, which Runplane did not send",
        )
    if record.code:
        return Failure(kind="exit_code", message=f"the main process ended with exit code {record.code}")
    return None


def launch_failure(error: LaunchError) -> Failure:
    """Why nothing was started."""
    return Failure(kind=error.kind, message=f"{error.message} [{error.field}]")


def observed_of(ended: TreeEnded) -> str:
    """What was seen beside a declared outcome: one sentence."""
    how = str(ended.exit) if ended.exit is not None else "an unknown status"
    count = len(ended.processes)
    gone = "verified gone" if ended.verified else f"{len(ended.survivors)} not gone"
    return f"main process ended with {how}; {count} process{'es' if count != 1 else ''} of the tree {gone}"


def moment(text: str) -> datetime:
    """A moment as the process wing writes it."""
    return datetime.fromisoformat(text)
