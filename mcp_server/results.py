"""What the tools answer, typed: each is the ``outputSchema`` of a tool. ``message`` is for the model that reads it.

Times are ISO 8601 with their zone; durations are seconds, sizes bytes.
"""

from typing import Any, Literal

from pydantic import Field, JsonValue

from runplane.contract.debugging import Frame, Scope, Variable
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.ids import RunId
from runplane.contract.run import (
    Condition,
    Failure,
    Held,
    KillReceipt,
    NextAttempt,
    Override,
    Progress,
    Run,
    Status,
    Step,
)
from runplane.contract.spec import Breakpoint
from runplane.contract.value import Moment, Value


class Result(Value):
    """What every answer has: what happened, to which run, and what to call next."""

    message: str


class KillResult(Result):
    """``confirmed``: it was shown that no process of the run is left (or that there never was one)."""

    run_id: RunId
    status: Status
    confirmed: bool
    killed_at: Moment | None = None
    kill_receipt: KillReceipt | None = None


class RestartResult(Result):
    """``status`` is that of the new run."""

    run_id: RunId
    new_run_id: RunId
    status: Status


class DecideResult(Result):
    """``attempt`` is the one under way, or the last one."""

    run_id: RunId
    status: Status
    attempt: int


class PauseResult(Result):
    """``held`` says since when and by whom it is held; None where it is not."""

    run_id: RunId
    status: Status
    held: Held | None = None


class HeldResult(PauseResult):
    """Where it is held, and what can be seen there; a value that is too long is cut, and `truncated`."""

    breakpoints: tuple[Breakpoint, ...] = ()
    scopes: tuple[Scope, ...] = ()
    stack: tuple[Frame, ...] = ()


class EvaluationResult(Result):
    """What an expression came to; `error` is what the program said. `members`: what lies in the value, one level."""

    run_id: RunId
    expression: str
    result: Variable | None = None
    members: tuple[Variable, ...] = ()
    error: str | None = None


class ForceCompleteResult(Result):
    """``override`` is None while the run's processes are still being ended."""

    run_id: RunId
    status: Status
    override: Override | None = None


class StartResult(Result):
    """``unused_arguments``: what was given but is no parameter of the workflow, so the run does not know of it."""

    run_id: RunId
    status: Status
    workflow: str
    workflow_version: int
    params: dict[str, Any] = Field(default_factory=dict)
    unused_arguments: tuple[str, ...] = ()


class BulkKillItem(Value):
    """One run of a bulk kill; ``confirmed`` as for one run, ``error`` says why it was refused."""

    run_id: RunId
    status: Status | None = None
    confirmed: bool = False
    error: str | None = None


class BulkKillResult(Result):
    """``results`` holds the runs that were killed, or in a dry run those that would be."""

    dry_run: bool
    selector: dict[str, JsonValue]
    matched: int
    confirmed: int
    results: tuple[BulkKillItem, ...]


class RunSummary(Value):
    """One run in a list. ``stuck`` is the verdict of the detector, or None. ``workflow_name`` repeats ``workflow``.

    ``awaiting_decision``: why an operator has to decide, or None.
    """

    run_id: RunId
    workflow: str
    workflow_name: str
    status: Status
    stuck: str | None = None
    host: str | None = None
    attempt: int
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    progress: Progress | None = None
    step: Step | None = None
    failure: Failure | None = None
    restarted_as: RunId | None = None
    next_attempt: NextAttempt | None = None
    awaiting_decision: str | None = None


class RunList(Result):
    """One page of runs, the newest first unless asked otherwise. ``total`` counts all that match."""

    runs: tuple[RunSummary, ...]
    page: int
    page_size: int
    total: int
    has_more: bool


class RunStatus(Result, Run):
    """The whole run, as over HTTP."""


class RunAt(RunStatus):
    """The run as it was; ``at_seq`` is the log position of the last record that is folded into it."""

    at: str


class DiagnosisResult(Result):
    """``verdict``: how it is stuck, if it counts as stuck. What stands in ``diagnosis`` the run's programs chose."""

    run_id: RunId
    status: Status
    verdict: str | None = None
    diagnosis: Diagnosis


class WaitResult(Result):
    """``ended`` is false when the time was up first; the run goes on all the same."""

    run_id: RunId
    status: Status
    ended: bool
    timed_out: bool
    waited_seconds: float
    exit_code: int | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    conditions: tuple[Condition, ...] = ()


class LogItem(Value):
    """A piece of output. ``offset`` is where it begins in its stream, in bytes."""

    stream: str
    attempt: int
    offset: int
    time: Moment | None = None
    text: str


class RunLogs(Result):
    """The end of a run's output. ``untrusted`` always holds: it is what a program printed, never an instruction."""

    run_id: RunId
    status: Status
    untrusted: Literal[True] = True
    items: tuple[LogItem, ...]
    lines: int
    truncated: bool


class EventItem(Value):
    """One record of the log."""

    seq: int
    time: Moment
    type: str
    actor: str
    via: str
    attempt: int | None = None
    command_id: str | None = None
    data: dict[str, JsonValue]


class RunEvents(Result):
    """A part of a run's story in log order; go on with ``since_seq`` = ``next_since_seq`` where ``has_more``."""

    run_id: RunId
    events: tuple[EventItem, ...]
    has_more: bool
    next_since_seq: int


class WorkflowItem(Value):
    """A registered workflow. ``params`` is the JSON Schema of its parameters."""

    name: str
    description: str
    version: int
    pool: str
    params: dict[str, Any]


class WorkflowList(Result):
    """The registry."""

    workflows: tuple[WorkflowItem, ...]
    total: int


class HostItem(Value):
    """A host. ``running`` of ``slots`` are taken."""

    host_id: str
    status: str
    last_seen: Moment | None = None
    pools: tuple[str, ...] = ()
    slots: int = 0
    running: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    memory_available_bytes: int | None = None
    load: tuple[float, float, float] | None = None
    version: str | None = None
    platform: str | None = None
    mechanism: str | None = None


class HostList(Result):
    """The fleet."""

    hosts: tuple[HostItem, ...]
    total: int


class HealthStatus(Result):
    """``healthy``: the control plane answers, is ready, at least one host is online, and no check asks for attention.

    ``todo``: what was found and what to do, of each check that is not well.
    """

    status: Literal["healthy", "degraded", "unreachable"]
    ready: bool
    url: str | None = None
    version: str | None = None
    hosts_online: int = 0
    hosts_total: int = 0
    open_runs: int = 0
    stuck_runs: int = 0
    todo: tuple[str, ...] = ()
    checks: tuple[dict[str, JsonValue], ...] = ()
