"""Real records for tests of the pure parts: an envelope around any command or event, by short words."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from runplane.contract import subjects
from runplane.contract.commands import StartRun
from runplane.contract.envelope import COMMAND_TYPES, Envelope
from runplane.contract.events import ProcessSpawned, RunClaimed
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, KillReceipt, ProcessRef, Surface
from runplane.contract.spec import RunSpec
from runplane.contract.value import Value
from runplane.core.fold import fold
from runplane.core.state import RunState

RUN = "run_00000000000a"
OTHER_RUN = "run_00000000000b"
HOST = "h1"
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SPEC = RunSpec(workflow="lina", workflow_version=1, argv=("python", "lina.py"), workspace="/srv/lina")
PROCESS = ProcessRef(boot_id="boot-1", pid=4242, start_time=99)


def at(seconds: float) -> datetime:
    """A moment that many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def record(
    data: Value,
    *,
    run_id: str = RUN,
    host: str | None = None,
    attempt: int | None = None,
    time: datetime = NOON,
    principal: str = "operator",
    surface: Surface = "cli",
    **fields: Any,
) -> Envelope:
    """The envelope around a command or an event; ``host`` puts it on that host's subject."""
    kind = type(data).__name__
    if kind in COMMAND_TYPES:
        subject = subjects.host_command(host, run_id) if host else subjects.plane_command(run_id)
    else:
        subject = subjects.host_event(host, run_id) if host else subjects.plane_event(run_id)
    identity = derive_record_id(kind, data.model_dump_json(), subject, str(time), str(attempt))
    return Envelope.model_validate(
        {
            "id": identity,
            "type": kind,
            "source": f"host/{host}" if host else "plane/main",
            "subject": subject,
            "time": time,
            "actor": Actor(principal=principal, surface=surface),
            "correlation_id": identity,
            "attempt": attempt,
            "data": data,
            **fields,
        }
    )


def start(run_id: str = RUN, **changes: Any) -> Envelope:
    """StartRun of the plainest run."""
    return record(StartRun(run_id=run_id, spec=SPEC.model_copy(update=changes)), run_id=run_id)


def claim(host: str = HOST, attempt: int = 1) -> Envelope:
    """RunClaimed by that host."""
    claimed = RunClaimed(host=host, attempt=attempt, boot_id="boot-1", agent_id="agent-1")
    return record(claimed, host=host, attempt=attempt)


def spawned(attempt: int = 1) -> Envelope:
    """ProcessSpawned on the host."""
    return record(
        ProcessSpawned(main=PROCESS, shim=PROCESS, mechanism="subreaper"), host=HOST, attempt=attempt
    )


def on_host(data: Value, attempt: int = 1, **fields: Any) -> Envelope:
    """A fact that the host tells of the run's attempt."""
    return record(data, host=HOST, attempt=attempt, **fields)


def receipt(**changes: Any) -> KillReceipt:
    """The proof of a kill."""
    fields: dict[str, Any] = {
        "command_id": "c" * 32,
        "requested_by": "operator",
        "via": "cli",
        "method": "graceful",
        "verified": True,
        "verified_by": ("cgroup",),
        "started_at": NOON,
        "ended_at": at(1),
        "duration_ms": 1000.0,
    }
    return KillReceipt.model_validate(fields | changes)


def folded(*records: Envelope, onto: RunState | None = None, first_seq: int = 1) -> RunState:
    """The records folded in this order."""
    return fold(numbered(records, first_seq), onto)


def numbered(records: Iterable[Envelope], first_seq: int = 1) -> list[tuple[int, Envelope]]:
    """The records with the log positions they would have."""
    return list(enumerate(records, start=first_seq))
