"""The documents that the API answers with, beside the run itself."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from control_plane.health import Check
from control_plane.notifications.settings import TargetName
from control_plane.notifications.standing import TargetStanding
from control_plane.read_model import HostView, WorkflowView
from runplane.contract.debugging import Variable
from runplane.contract.events import StoredFile
from runplane.contract.ids import RecordId, RunId, WorkflowName
from runplane.contract.run import Actor, ResourcePoint, Run
from runplane.contract.value import Moment, StrictValue
from runplane.contract.workflow import WorkflowDefinition

MAX_ARGUMENTS = 1_000


class Document(BaseModel):
    """The base of what is answered."""

    model_config = ConfigDict(frozen=True)


class RunList(Document):
    """One page of runs; ``next_cursor`` is null on the last one, ``total`` counts all that match."""

    items: tuple[Run, ...]
    next_cursor: str | None
    total: int


class Mutation(Document):
    """What became of an order: its id in the log, and the run as it is now."""

    command_id: RecordId
    run: Run


class BreakpointsAnswer(Mutation):
    """What became of an order to set breakpoints, and what is doubtful of them, in sentences."""

    notes: tuple[str, ...] = ()


class Evaluation(Document):
    """What an expression came to. Neither `result` nor `error`: the host has not answered within `wait`.

    `members`: what lies in the value, one level.
    """

    command_id: RecordId
    run_id: RunId
    expression: str
    result: Variable | None = None
    members: tuple[Variable, ...] = ()
    error: str | None = None


class Restart(Document):
    """The restarted run and the one that follows it."""

    command_id: RecordId
    run_id: RunId
    new_run_id: RunId
    run: Run
    new_run: Run


class Record(Document):
    """One record of the log. ``data`` is what its ``type`` says."""

    seq: int
    id: RecordId
    type: str
    source: str
    subject: str
    time: Moment
    schema_version: int
    actor: Actor
    correlation_id: RecordId
    causation_id: RecordId | None
    command_id: RecordId | None
    attempt: int | None
    data: dict[str, JsonValue]


class RecordList(Document):
    """Records in log order; ``next_since_seq`` is where to go on, null where there is nothing more now."""

    items: tuple[Record, ...]
    next_since_seq: int | None


class StepView(Document):
    """One step of a run, as it was reported. ``key``: its place among the steps around it, parted by ``/``."""

    name: str
    index: int
    key: str | None = None
    attempt: int | None
    state: Literal["started", "completed", "failed"]
    inputs: JsonValue = None
    result: JsonValue = None
    error: str | None = None
    expected_seconds: float | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    duration_seconds: float | None = None


class StepList(Document):
    """The steps of a run, in the order in which they were started."""

    items: tuple[StepView, ...]


class CheckpointView(Document):
    """One checkpoint of a run. ``files``: bytes by name. ``pruned``: it is not there any more."""

    id: str
    attempt: int | None
    number: int
    at: Moment
    bytes: int
    files: dict[str, int]
    pruned: bool = False


class CheckpointList(Document):
    """The checkpoints of a run, the oldest first."""

    items: tuple[CheckpointView, ...]


class CheckpointDocument(Document):
    """What a checkpoint holds. ``files``: digest and bytes by name."""

    id: str
    run_id: str
    attempt: int
    number: int
    state: JsonValue
    files: dict[str, StoredFile]


class SampleList(Document):
    """Samples of a run's tree, oldest first."""

    items: tuple[ResourcePoint, ...]


class OutputItem(Document):
    """A piece of output. ``offset`` counts bytes from the beginning of the stream of this attempt."""

    stream: Literal["stdout", "stderr"]
    attempt: int
    offset: int
    time: Moment
    text: str


class OutputPage(Document):
    """Output in the order in which it came; ``next_offset`` by ``attempt/stream`` is where each stream goes on."""

    items: tuple[OutputItem, ...]
    next_offset: dict[str, int]
    next_cursor: str | None = Field(description="Where to go on; null where all that is stored was given")


class HostList(Document):
    """All hosts, by id."""

    items: tuple[HostView, ...]


class WorkflowList(Document):
    """Workflows by name, or the versions of one, oldest first."""

    items: tuple[WorkflowView, ...]


class WorkflowRequest(WorkflowDefinition):
    """A workflow to register: its name is the one in the path; without ``workspace`` each run has a fresh directory."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "description": "Simplify a Linear epic",
                    "command": ["python3", "/srv/lina/lina.py"],
                    "env": {"EPIC": "{epic}"},
                    "params": {
                        "type": "object",
                        "required": ["epic"],
                        "properties": {"epic": {"type": "string"}},
                    },
                    "timeout": "30m",
                }
            ]
        }
    )

    name: WorkflowName | None = None  # type: ignore[assignment]
    command: tuple[str, ...] = Field(min_length=1, max_length=MAX_ARGUMENTS)
    workspace: str = Field(
        default="temporary", min_length=1, max_length=4096, pattern=r"^(/[^\x00]*|temporary|kept)$"
    )

    def definition(self, name: str) -> WorkflowDefinition:
        """The definition under the path's name."""
        document: dict[str, Any] = self.model_dump(by_alias=True)
        return WorkflowDefinition.model_validate({**document, "name": name})


class NotificationList(Document):
    """Who is told of what; ``problem``: why the file cannot be used, where it cannot."""

    path: str
    problem: str | None
    targets: tuple[TargetStanding, ...]


class NotificationTestRequest(StrictValue):
    """Which target is to be told for a test; all where none is named."""

    target: TargetName | None = None


class NotificationTest(Document):
    """What became of one attempt."""

    target: str
    delivered: bool
    status: int | None
    error: str
    notification_id: str


class NotificationTests(Document):
    """What became of each attempt."""

    results: tuple[NotificationTest, ...]


class Health(Document):
    """How the control plane is; ``status`` is that of its worst check."""

    status: Literal["ok", "degraded", "failed"]
    version: str
    checks: tuple[Check, ...]


class Liveness(Document):
    """Yes or no, and nothing more."""

    status: Literal["ok", "ready", "not_ready"]
