"""Events: facts, past tense. Each is the ``data`` of an envelope whose ``type`` is the class's name.

Moments inside an event are the clock of whoever saw the fact; order always comes from the log.
"""

from typing import Any, Literal

from pydantic import Field, JsonValue

from runplane.contract.debugging import Frame, Scope, Variable
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.ids import HostId, RunId
from runplane.contract.run import (
    AgentRef,
    Condition,
    Ending,
    Exit,
    Failure,
    KillReceipt,
    Outcome,
    ProcessRef,
    Survivor,
    VerifiedBy,
)
from runplane.contract.spec import Breakpoint
from runplane.contract.value import Moment, Value
from runplane.contract.workflow import WorkflowDefinition

Purpose = Literal["kill", "restart", "force_complete", "timeout", "limit", "stuck", "disconnect"]
Until = Literal["boundary", "over", "into", "out"]
"""How far a held run may go: to the next boundary of a step; over, into or out of the line it stands at."""


class RunClaimed(Value):
    """A host took the run: it alone may start this attempt."""

    host: HostId
    attempt: int
    boot_id: str
    agent_id: str


class ProcessSpawned(Value):
    """The attempt's main process exists."""

    main: ProcessRef
    shim: ProcessRef
    mechanism: str
    cgroup: str | None = None


class ProgressReported(Value):
    """The workflow said how far it is (coalesced by the agent)."""

    done: float | None = None
    total: float | None = None
    unit: str | None = None
    message: str | None = None


class StepStarted(Value):
    """The workflow began a step. ``key``: its place among the steps around it, the outermost first, parted by ``/``."""

    name: str
    index: int
    key: str | None = None
    inputs: JsonValue = None
    expected_seconds: float | None = None


class StepCompleted(Value):
    """The workflow finished a step."""

    name: str
    index: int
    key: str | None = None
    result: JsonValue = None
    duration_seconds: float | None = None


class StepFailed(Value):
    """A step of the workflow raised an error."""

    name: str
    index: int
    key: str | None = None
    error: str = ""
    duration_seconds: float | None = None


class ReportSetAside(Value):
    """Lines of reports.jsonl that could not be read were set aside."""

    count: int
    first_line: int
    why: str


class RunPaused(Value):
    """The run is held. ``at``: the boundary or the line; None where all of its processes were stopped, anywhere.

    ``processes``: how many the kernel showed to stand still. ``scopes`` and ``stack``: what can be seen of it there.
    ``stop``: which stop of its debugger this is.
    """

    at: str | None = None
    by: str | None = None
    reason: str | None = None
    processes: int | None = None
    scopes: tuple[Scope, ...] = ()
    stack: tuple[Frame, ...] = ()
    stop: int | None = None


class RunContinued(Value):
    """The run goes on. ``held_seconds``: how long it was held, by its host's clock that nobody sets.

    ``until``: how far, where it is to be held again; None: freely.
    """

    by: str | None = None
    held_seconds: float | None = None
    until: Until | None = None


class BreakpointsSet(Value):
    """From here on the run is held at these places, and at no others."""

    breakpoints: tuple[Breakpoint, ...] = ()


class StoredFile(Value):
    """A file in the object store."""

    digest: str
    bytes: int


class CheckpointStored(Value):
    """A state that the workflow can go on from is in the object store, and its files with it.

    ``digest``: of its document there. ``number``: which of the attempt's checkpoints it is, from 1. ``bytes``: of the
    document and the files together.
    """

    digest: str
    number: int
    bytes: int
    files: dict[str, StoredFile] = Field(default_factory=dict)


class CheckpointRefused(Value):
    """A checkpoint could not be kept; the one before it stands."""

    number: int
    why: str


class CheckpointsPruned(Value):
    """Checkpoints that newer ones have made superfluous were removed from the object store."""

    digests: tuple[str, ...]


class VariablesReported(Value):
    """The workflow showed values that an operator may see (coalesced by the agent)."""

    values: dict[str, JsonValue]


class VariablesSet(Value):
    """An operator changed variables of a held run. ``before``: what they held."""

    scope: str
    values: dict[str, JsonValue]
    before: dict[str, JsonValue] = Field(default_factory=dict)


class ExpressionEvaluated(Value):
    """An operator had an expression evaluated where the run is held. ``members``: what lies in its value, one level."""

    expression: str
    frame: int = 0
    result: Variable | None = None
    members: tuple[Variable, ...] = ()
    error: str | None = None


class ConditionRaised(Value):
    """Something became true of the run."""

    condition: Condition


class ConditionCleared(Value):
    """Something is no longer true of the run."""

    type: str


class DiagnosisTaken(Value):
    """Somebody asked what the run does, or it became stuck: what its agent saw."""

    diagnosis: Diagnosis


class RunTerminating(Value):
    """The end of the attempt's tree is under way, and for what purpose. ``failure``: what is told after a limit."""

    purpose: Purpose
    method: Literal["graceful", "force"]
    grace_seconds: float
    reason: str | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None


class TerminationEscalated(Value):
    """A second order cut the grace short."""

    reason: str | None = None


class ProcessExited(Value):
    """The main process ended, with the status the kernel gave.

    ``longest_quiet_seconds``: the longest that it printed and reported nothing new, as far as its agent has seen.
    """

    exit: Exit | None
    user_seconds: float | None = None
    system_seconds: float | None = None
    max_rss_bytes: int | None = None
    longest_quiet_seconds: float | None = None


class LeftoversFound(Value):
    """The main process ended, and processes that it had started live on."""

    processes: tuple[Survivor, ...]
    policy: Literal["end", "wait"]


class SurvivorsFound(Value):
    """Processes of the tree could not be ended yet; the run stays ``terminating``."""

    survivors: tuple[Survivor, ...]


class TreeVerifiedGone(Value):
    """The kernel showed that no process of the attempt is left."""

    verified_by: tuple[VerifiedBy, ...]
    receipt: KillReceipt | None = None


class AttemptFailed(Value):
    """An attempt ended without having done its work, and the run goes on.

    ``next``: by another attempt, or by what an operator decides. ``resume``: that attempt begins from where this one
    was. ``delay_seconds``: how long is waited before it. ``receipt``: where the attempt was ended.
    """

    ending: Ending
    failure: Failure
    next: Literal["attempt", "decision"]
    resume: bool = False
    delay_seconds: float = 0.0
    receipt: KillReceipt | None = None


class RunAdmitted(Value):
    """The run may begin: there is room among the open runs of its group."""

    group: str


class RetryScheduled(Value):
    """When the next attempt is to begin, by the broker's clock. ``slowed``: later than the workflow says."""

    attempt: int
    at: Moment
    resume: bool = False
    why: str = ""
    slowed: bool = False


class RecoveryStarted(Value):
    """Another run was started because this one failed, with it as its input."""

    run_id: RunId
    workflow: str


class RunCompleted(Value):
    """The run ended well."""


class RunFailed(Value):
    """The run failed."""

    failure: Failure


class RunKilled(Value):
    """The run was ended by order, and every process of it is gone."""

    receipt: KillReceipt


class RunCanceled(Value):
    """The run was ended by order before any process of it existed."""

    reason: str | None = None


class RunTimedOut(Value):
    """The run was ended because its time was up."""

    failure: Failure
    receipt: KillReceipt | None = None


class RunLost(Value):
    """The attempt's process cannot be accounted for."""

    failure: Failure


class RunUnreachable(Value):
    """The run's host is not heard from. ``since``: when it was last, by the broker's clock."""

    host: HostId
    since: Moment | None = None


class RunReachable(Value):
    """The run's host is heard from again."""

    host: HostId


class OutcomeOverridden(Value):
    """An operator declared the outcome. ``observed`` says what was seen of the tree."""

    outcome: Outcome
    reason: str | None = None
    observed: str
    detached: bool = False
    replaced: bool = False
    receipt: KillReceipt | None = None


class RestartAccepted(Value):
    """The run will be followed by ``new_run_id`` once its tree is gone."""

    new_run_id: RunId
    reason: str | None = None


class CommandRejected(Value):
    """An order was refused, by whom it was addressed to or on the way there."""

    command: str
    code: str
    message: str
    detail: dict[str, Any] = Field(default_factory=dict)


class NotificationDelivered(Value):
    """Somebody was told about the run: ``target`` names who, ``about`` the reason, ``status`` what was answered.

    Where it was told for a test, it stands in no run's story. Never says where the target is.
    """

    notification_id: str
    target: str
    about: str
    attempts: int
    status: int | None = None


class NotificationFailed(Value):
    """Somebody could not be told, and is not tried again: ``error`` says why the last attempt failed."""

    notification_id: str
    target: str
    about: str
    attempts: int
    status: int | None = None
    error: str


class HostJoined(Value):
    """An agent began to serve as this host. ``agent`` says where it runs; agents before 0.2 do not."""

    host: HostId
    agent_id: str
    boot_id: str
    agent: AgentRef | None = None
    pools: tuple[str, ...]
    slots: int
    version: str
    platform: str
    cpus: int
    memory_bytes: int
    mechanism: str


class HostLeft(Value):
    """An agent was stopped in good order; its runs live on."""

    host: HostId
    agent_id: str


class WorkflowApplied(Value):
    """A version of a workflow was registered."""

    definition: WorkflowDefinition
    version: int
    digest: str


class WorkflowDeleted(Value):
    """A workflow was removed from the registry; its runs keep their configuration."""

    name: str


RunEvent = (
    RunClaimed
    | ProcessSpawned
    | ProgressReported
    | StepStarted
    | StepCompleted
    | StepFailed
    | ReportSetAside
    | RunPaused
    | RunContinued
    | BreakpointsSet
    | CheckpointStored
    | CheckpointRefused
    | CheckpointsPruned
    | VariablesReported
    | VariablesSet
    | ExpressionEvaluated
    | ConditionRaised
    | ConditionCleared
    | DiagnosisTaken
    | RunTerminating
    | TerminationEscalated
    | ProcessExited
    | LeftoversFound
    | SurvivorsFound
    | TreeVerifiedGone
    | RunAdmitted
    | AttemptFailed
    | RetryScheduled
    | RecoveryStarted
    | RunCompleted
    | RunFailed
    | RunKilled
    | RunCanceled
    | RunTimedOut
    | RunLost
    | RunUnreachable
    | RunReachable
    | OutcomeOverridden
    | RestartAccepted
    | CommandRejected
    | NotificationDelivered
    | NotificationFailed
)
Event = RunEvent | HostJoined | HostLeft | WorkflowApplied | WorkflowDeleted
