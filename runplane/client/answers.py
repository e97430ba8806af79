"""What the API answers beside a ``Run``, as frozen values. Fields that a newer control plane adds are dropped."""

from typing import Any

from pydantic import Field, JsonValue

from runplane.contract.debugging import Variable
from runplane.contract.errors import RunplaneError
from runplane.contract.ids import is_run_id
from runplane.contract.run import Actor, Run, Status
from runplane.contract.value import Moment, Value
from runplane.contract.workflow import WorkflowDefinition


class RunPage(Value):
    """One page of runs; ``total`` counts all that match, ``next_cursor`` is None on the last page."""

    items: tuple[Run, ...] = ()
    next_cursor: str | None = None
    total: int = 0


class Commanded(Value):
    """An accepted order, and the run as it stands. ``command_id`` is None where nothing had to be ordered."""

    command_id: str | None = None
    run: Run


class WithNotes(Commanded):
    """The same, with what is doubtful of the order, in sentences."""

    notes: tuple[str, ...] = ()


class Evaluation(Value):
    """What an expression came to where a run is held. Neither ``result`` nor ``error``: it is not known yet."""

    command_id: str
    run_id: str
    expression: str
    result: Variable | None = None
    members: tuple[Variable, ...] = ()
    error: str | None = None


class Restarted(Value):
    """An accepted restart: the old run, and the one that follows it."""

    command_id: str | None = None
    run_id: str
    new_run_id: str
    run: Run | None = None
    new_run: Run | None = None


class BulkKillItem(Value):
    """One run of a bulk kill; ``code`` and ``message`` say why where it was refused.

    ``result``: ``accepted``, ``already_ended``, ``refused``, or in a dry run ``would_kill``.
    """

    run_id: str
    status: Status | None = None
    result: str = ""
    command_id: str | None = None
    code: str | None = None
    message: str | None = None


class BulkKill(Value):
    """What became of each run that the selector matched. ``truncated``: more matched than one request kills."""

    dry_run: bool = False
    matched: int = 0
    truncated: bool = False
    results: tuple[BulkKillItem, ...] = ()


class Record(Value):
    """One record of the log: the envelope with its log position. ``data`` is as it was stored."""

    seq: int
    id: str
    type: str
    source: str = ""
    subject: str = ""
    time: Moment
    schema_version: int = 1
    actor: Actor
    correlation_id: str | None = None
    causation_id: str | None = None
    command_id: str | None = None
    attempt: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def run_id(self) -> str | None:
        """The run in whose story it stands; None for hosts and workflows."""
        last = self.subject.rsplit(".", 1)[-1]
        return last if is_run_id(last) else None


class RecordPage(Value):
    """Records in log order; go on with ``since_seq`` = ``next_since_seq``, which is None where there are no more."""

    items: tuple[Record, ...] = ()
    next_since_seq: int | None = None


class Change(Value):
    """One step of the live stream: a record, and the run as it stands after it.

    ``missed`` > 0 (then ``record`` is None): that many records were left out here; read them with ``events``.
    """

    seq: int
    record: Record | None = None
    run: Run | None = None
    missed: int = 0


class OutputItem(Value):
    """A piece of output; ``offset`` is where it begins in its stream, in bytes."""

    stream: str
    attempt: int
    offset: int
    time: Moment | None = None
    text: str


class OutputPage(Value):
    """Output that is stored now, in the order in which it came; ``next_cursor`` is None where that was all."""

    items: tuple[OutputItem, ...] = ()
    next_offset: dict[str, int] = Field(default_factory=dict)
    next_cursor: str | None = None


class StepView(Value):
    """One step of a run, as its workflow reported it. ``key``: its place among the steps around it, parted by ``/``."""

    name: str
    index: int
    key: str | None = None
    attempt: int | None = None
    state: str
    started_at: Moment | None = None
    ended_at: Moment | None = None
    duration_seconds: float | None = None
    expected_seconds: float | None = None
    inputs: JsonValue = None
    result: JsonValue = None
    error: str | None = None


class CheckpointView(Value):
    """One checkpoint of a run. ``files``: bytes by name. ``pruned``: it is not there any more."""

    id: str
    attempt: int | None = None
    number: int
    at: Moment
    bytes: int
    files: dict[str, int] = Field(default_factory=dict)
    pruned: bool = False


class ProcessView(Value):
    """One process of a run's tree; bytes."""

    pid: int
    ppid: int | None = None
    start_time: int | None = None
    cmdline: str = ""
    state: str | None = None
    rss_bytes: int | None = None
    cpu_percent: float | None = None


class HostView(Value):
    """A host: what it said when it joined, and its last heartbeat. Bytes; ``load`` over 1, 5 and 15 minutes."""

    host_id: str
    status: str
    left: bool = False
    last_seen: Moment | None = None
    agent_id: str | None = None
    boot_id: str | None = None
    pools: tuple[str, ...] = ()
    slots: int = 0
    running: int = 0
    version: str | None = None
    platform: str | None = None
    cpus: int = 0
    memory_bytes: int = 0
    memory_available_bytes: int | None = None
    load: tuple[float, float, float] | None = None
    mechanism: str | None = None
    joined_at: Moment | None = None


class NotificationResult(Value):
    """What became of the last notification to a target; ``error`` is empty where it was delivered."""

    at: Moment
    run_id: str | None = None
    about: str = ""
    delivered: bool
    attempts: int = 0
    status: int | None = None
    error: str = ""


class NotificationTarget(Value):
    """Who is told of what. ``problem``: why nothing can be sent at all."""

    name: str
    kind: str = ""
    to: str = ""
    on: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    delivered: int = 0
    failed: int = 0
    last: NotificationResult | None = None
    problem: str = ""


class NotificationTargets(Value):
    """All targets of the file at ``path``; ``problem``: why that cannot be used, where it cannot."""

    path: str = ""
    problem: str | None = None
    targets: tuple[NotificationTarget, ...] = ()


class NotificationTest(Value):
    """What became of one attempt."""

    target: str
    delivered: bool
    status: int | None = None
    error: str = ""
    notification_id: str = ""


class NotificationTests(Value):
    """What became of each."""

    results: tuple[NotificationTest, ...] = ()


class WorkflowView(Value):
    """One version of a workflow."""

    name: str
    version: int
    definition: WorkflowDefinition
    digest: str | None = None
    applied_at: Moment | None = None
    applied_by: str | None = None
    deleted: bool = False


class Rebuilt(Value):
    """A read model built anew beside the live one: whether both are equal, and where they first differ."""

    equal: bool
    position: int = 0
    runs: int = 0
    first_difference: dict[str, JsonValue] | None = None


class Token(Value):
    """An access token. ``token`` is there once, in the answer to its creation."""

    id: str
    name: str | None = None
    role: str | None = None
    created_at: Moment | None = None
    expires_at: Moment | None = None
    token: str | None = Field(default=None, repr=False)


class AnswerNotUnderstood(RunplaneError):
    """The control plane answered something that this version does not understand."""

    code = "answer_not_understood"
