"""What is asked of the read model, and what it answers. All frozen values."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from runplane.contract.envelope import Envelope
from runplane.contract.run import Run, Status
from runplane.contract.telemetry import Pressure
from runplane.contract.value import Moment, Value
from runplane.contract.workflow import WorkflowDefinition

SORTS = ("created_at", "started_at", "ended_at", "status", "workflow", "host", "run_id")
"""What a list of runs can be sorted by; with ``-`` before it, the greatest first."""

HostStatus = Literal["online", "absent", "draining"]


class Query(BaseModel):
    """The base of what is asked: frozen, and a misspelt filter is an error, not everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunFilter(Query):
    """Which runs, in which order. None means any; ``awaiting``: those that wait for a decision, beside ``status``.

    ``q`` is looked for in id, workflow, host, requester and params.
    """

    status: tuple[Status, ...] = ()
    awaiting: bool = False
    workflow: str | None = None
    host: str | None = None
    stuck: bool | None = None
    started_after: datetime | None = None
    q: str | None = None
    sort: str = "-created_at"
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None


class RunPage(Value):
    """One page of runs; ``total`` counts all that match, ``next_cursor`` is None on the last page."""

    items: tuple[Run, ...]
    next_cursor: str | None
    total: int


class EventFilter(Query):
    """Which records of the log, in log order. ``since_seq`` and ``before_seq`` are exclusive; times are the broker's.

    ``run_id`` finds the run's own story and the orders that name it from another's (a restart).
    ``newest`` takes the last ``limit`` records instead of the first.
    """

    type: str | None = None
    actor: str | None = None
    run_id: str | None = None
    host: str | None = None
    command_id: str | None = None
    since_seq: int = 0
    before_seq: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest: bool = False
    limit: int = Field(default=100, ge=1, le=10_000)


class HostView(Value):
    """A host: what it said when it joined, and its last heartbeat. Bytes; ``load`` over 1, 5 and 15 minutes.

    ``left``: its agent was stopped in good order.
    """

    host_id: str
    status: HostStatus
    left: bool = False
    last_seen: Moment
    agent_id: str
    boot_id: str
    pools: tuple[str, ...]
    slots: int
    running: int
    version: str
    platform: str
    cpus: int
    memory_bytes: int
    memory_available_bytes: int | None = None
    load: tuple[float, float, float] | None = None
    pressure: Pressure | None = None
    mechanism: str
    joined_at: Moment
    seq: int


class WorkflowView(Value):
    """One version of a workflow. The last version's ``seq`` is what the next one's compare-and-set expects."""

    name: str
    version: int
    definition: WorkflowDefinition
    digest: str
    applied_at: Moment
    applied_by: str
    deleted: bool
    seq: int


class SetAside(Value):
    """A record of the log that could not be read, and why."""

    seq: int
    subject: str
    why: str


class Change(Value):
    """One record that was projected, and the run as it stands after it.

    Where a slow subscriber could not be told of everything, ``missed`` says how many records were left out
    before this one and ``envelope`` is None: read on from the log position ``seq`` with ``events``.
    """

    seq: int
    envelope: Envelope | None
    run: Run | None = None
    missed: int = 0
