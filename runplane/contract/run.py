"""A run as users see it: the same document over HTTP, in the CLI, in MCP and in the dashboard."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, JsonValue

from runplane.contract.ids import HostId, RunId
from runplane.contract.spec import Breakpoint
from runplane.contract.units import show_size
from runplane.contract.value import Moment, Value


class Status(StrEnum):
    """Where a run stands. The last six are endings, and final."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    TERMINATING = "terminating"
    UNREACHABLE = "unreachable"
    COMPLETED = "completed"
    FAILED = "failed"
    KILLED = "killed"
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether this is an ending."""
        return self in ENDED


ENDED = frozenset(
    {Status.COMPLETED, Status.FAILED, Status.KILLED, Status.CANCELED, Status.TIMED_OUT, Status.LOST}
)
OPEN = frozenset(Status) - ENDED

AWAITING_DECISION = "awaiting_decision"
"""The condition of a run whose recovery has come to its end: an operator decides what becomes of it."""
Ending = Literal["failed", "stuck", "timed_out", "lost"]
"""How an attempt ended that did not do its work."""
HOST_UNREACHABLE = "host_unreachable"
"""The verdict of an open run whose host is not heard from: laid over it when it is read, and no record of the log."""

Surface = Literal["cli", "api", "mcp", "dashboard", "policy"]
Outcome = Literal["completed", "failed"]
VerifiedBy = Literal["cgroup", "subreaper", "session", "environment"]


class Actor(Value):
    """Who asked: an authenticated principal, and the surface it came through."""

    principal: str
    surface: Surface = "api"


class Exit(Value):
    """How the main process ended: an exit code, or the name of the signal that ended it."""

    code: int | None = None
    signal: str | None = None


class Failure(Value):
    """Why a run failed: ``kind`` is stable and meant for programs, ``message`` is a sentence."""

    kind: str
    message: str


class ProcessRef(Value):
    """One process, beyond doubt: boot id, pid and start time (clock ticks since boot)."""

    boot_id: str
    pid: int
    start_time: int


class AgentRef(Value):
    """One start of an agent. ``installation`` names its home through all its starts, ``machine`` is for people."""

    agent_id: str
    installation: str
    boot_id: str
    pid: int
    machine: str = ""
    home: str = ""


class SignalSent(Value):
    """A signal that was sent to a process of the tree."""

    signal: str
    pid: int
    at: Moment


class ProcessEnd(Value):
    """A process of the tree, and how it ended (``exit 0``, ``SIGKILL``, ``gone``)."""

    pid: int
    start_time: int
    cmdline: str
    exit: str
    rss_bytes: int = 0


class Survivor(Value):
    """A process that could not be ended, and why."""

    pid: int
    start_time: int
    cmdline: str
    why: str


class Freed(Value):
    """What ending the tree gave back."""

    rss_bytes: int = 0
    open_files: int = 0
    listening_ports: tuple[int, ...] = ()


class Cleanup(Value):
    """What was removed after the tree was gone: its temporary workspace, and of the socket files and the segments of
    shared memory that it had made, what nobody uses any more.
    """

    workspace: str | None = None
    temp_bytes_removed: int = 0
    sockets_removed: int = 0
    shared_memory_removed: int = 0
    shared_memory_bytes_removed: int = 0

    def __str__(self) -> str:
        """One line for people; empty when there was nothing to remove."""
        memory = show_size(self.shared_memory_bytes_removed)
        counted = (
            (self.temp_bytes_removed, f"{show_size(self.temp_bytes_removed)} removed"),
            (self.sockets_removed, f"{self.sockets_removed} unix socket{_s(self.sockets_removed)}"),
            (
                self.shared_memory_removed,
                f"{self.shared_memory_removed} shared-memory segment{_s(self.shared_memory_removed)} ({memory})",
            ),
        )
        words = [words for number, words in counted if number]
        return ", ".join([self.workspace, *words] if self.workspace else words)


def _s(number: int) -> str:
    return "" if number == 1 else "s"


class KillReceipt(Value):
    """The proof of a kill: who asked, what was signalled, how each process ended, what showed that all are gone."""

    command_id: str
    requested_by: str
    via: Surface
    reason: str | None = None
    method: Literal["graceful", "force"]
    signals: tuple[SignalSent, ...] = ()
    processes: tuple[ProcessEnd, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    verified: bool
    verified_by: tuple[VerifiedBy, ...] = ()
    freed: Freed = Freed()
    cleanup: Cleanup = Cleanup()
    started_at: Moment
    ended_at: Moment
    duration_ms: float


class Condition(Value):
    """Something true of an open run beside its status, such as being stuck."""

    type: str
    verdict: str | None = None
    since: Moment
    detail: str = ""
    evidence: JsonValue = None


class Progress(Value):
    """How far the workflow says it is. ``rate``: of ``done`` in a second, smoothed; None before it has moved.

    ``advanced_at``: when ``done`` was last another.
    """

    done: float | None = None
    total: float | None = None
    unit: str | None = None
    message: str | None = None
    rate: float | None = None
    advanced_at: Moment | None = None
    updated_at: Moment


class Step(Value):
    """The step the workflow says it is in; ``expected_seconds``: for how long it has declared to be."""

    name: str
    index: int
    started_at: Moment
    expected_seconds: float | None = None


class Resources(Value):
    """The last sample of the whole tree. Not part of the folded state: laid over it when read.

    ``pss_bytes`` counts shared memory once for all who share it; it and ``sockets`` are read more seldom than the rest,
    and None where they may not be read.
    """

    cpu_percent: float = 0.0
    rss_bytes: int = 0
    processes: int = 0
    threads: int = 0
    open_files: int = 0
    io_read_bytes: int = 0
    io_write_bytes: int = 0
    pss_bytes: int | None = None
    sockets: int | None = None
    sampled_at: Moment


class ResourcePoint(Resources):
    """A point of the course of what a run used: a sample (``resolution_seconds`` 0), or the mean of so many seconds."""

    resolution_seconds: float = 0.0
    cpu_percent_max: float | None = None
    rss_bytes_max: int | None = None


class Usage(Value):
    """What an agent program consumed."""

    turns: int = 0
    tools: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    session_id: str | None = None


class Override(Value):
    """An outcome that an operator declared, and what was seen beside it. ``detached``: the tree was left alive."""

    outcome: Outcome
    by: str
    via: Surface = "api"
    reason: str | None = None
    at: Moment
    observed: str
    detached: bool = False


class Attempt(Value):
    """One process tree, started for the run on one host. ``held_seconds``: its pauses that are over, together.

    ``ending`` and ``failure``: why it did not do the run's work, where the run went on after it. ``resumed``: it began
    from where the one before it was.
    """

    attempt: int
    host: HostId
    claimed_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    main: ProcessRef | None = None
    mechanism: str | None = None
    exit: Exit | None = None
    verified_by: tuple[VerifiedBy, ...] = ()
    held_seconds: float = 0.0
    ending: Ending | None = None
    failure: Failure | None = None
    resumed: bool = False


class NextAttempt(Value):
    """The attempt that is to come. ``at`` None: as soon as the control plane has said when. ``why``: what it follows.

    ``slowed``: it waits longer than its workflow says, for too many attempts failed lately.
    """

    attempt: int
    at: Moment | None = None
    resume: bool = False
    why: str = ""
    slowed: bool = False


class Held(Value):
    """Where a paused run is held, since when, and who asked. ``at`` None: stopped wherever it was."""

    at: str | None = None
    since: Moment
    by: str
    via: Surface
    reason: str | None = None


class Checkpoint(Value):
    """The last checkpoint: its digest and when it was stored."""

    id: str
    at: Moment


class Resumption(Value):
    """From where a resumed attempt goes on. ``digest``: of the document that says it, in the object store.

    ``steps``: how many results it holds. ``origin``: the run that everything began with. ``checkpoint``: the last one.
    """

    digest: str
    origin: RunId
    steps: int = 0
    checkpoint: Checkpoint | None = None


class Run(Value):
    """One run, as it was at log position ``seq``.

    ``queued``: it waits for its turn, as ``concurrency`` of its workflow says. ``expected_end`` is no fact:
    laid over an open run when it is read, by its rate or by how long earlier runs took.
    """

    run_id: RunId
    workflow: str
    workflow_version: int
    status: Status
    conditions: tuple[Condition, ...] = ()
    host: HostId | None = None
    pool: str | None = None
    attempt: int = 0
    attempts: tuple[Attempt, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    exit: Exit | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    expected_end: Moment | None = None
    step: Step | None = None
    resources: Resources | None = None
    usage: Usage | None = None
    override: Override | None = None
    kill_receipt: KillReceipt | None = None
    restarted_from: RunId | None = None
    restarted_as: RunId | None = None
    next_attempt: NextAttempt | None = None
    queued: bool = False
    recovers: RunId | None = None
    recovered_by: RunId | None = None
    checkpoint: Checkpoint | None = None
    held: Held | None = None
    breakpoints: tuple[Breakpoint, ...] = ()
    requested_by: str
    requested_via: Surface = "api"
    anomalies: int = 0
    seq: int

    @property
    def attempt_over(self) -> bool:
        """Whether its last attempt has ended: the run has too, or waits for another one or for a decision."""
        return self.status.ended or (self.status is Status.PENDING and bool(self.attempts))

    @property
    def awaits_decision(self) -> bool:
        """Whether an operator has to decide what becomes of it."""
        return any(condition.type == AWAITING_DECISION for condition in self.conditions)

    @property
    def is_accounted_for(self) -> bool:
        """Whether no process of any attempt so far can be alive: none was started, or all were shown to be gone."""
        return all(attempt.main is None or attempt.verified_by for attempt in self.attempts)
