"""What callers ask for: the bodies of the mutations, each field checked, unknown fields refused.

Strict: ``"yes"`` is no boolean and ``"5"`` no number. ``None`` means that nothing was said.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema

from runplane.conditions import check_condition
from runplane.contract.commands import DebugMode, Decision
from runplane.contract.errors import InvalidInput
from runplane.contract.ids import HostId, PoolName, WorkflowName
from runplane.contract.run import Outcome, Status
from runplane.contract.spec import Breakpoint
from runplane.contract.value import StrictValue

LONGEST_GRACE_SECONDS = 86_400.0
MAX_REASON_CHARACTERS = 2_000
MAX_BREAKPOINTS = 200

Reason = Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)]
Grace = Annotated[float, Field(ge=0, le=LONGEST_GRACE_SECONDS)]
LOCATION = r"^(step:[^\x00-\x1f]{1,200}|[^:\x00-\x1f]{1,1000}:[1-9][0-9]{0,6})$"


def _location(text: str) -> str:
    if re.fullmatch(LOCATION, text) is None:
        raise ValueError(
            "a place to hold at is step:NAME, step:* or FILE:LINE, like step:fetch or lina.py:42"
        )
    return text


Location = Annotated[
    str, AfterValidator(_location), Field(json_schema_extra={"pattern": LOCATION}, examples=["step:fetch"])
]


class Request(StrictValue):
    """The base of every request: frozen, strict, nothing unknown."""

    model_config = ConfigDict(strict=True)


class BreakpointRequest(Request):
    """A breakpoint with a condition.

    At a step, the condition is an expression on its inputs and the workflow's variables; at a line, one of Python.
    """

    location: Location
    condition: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _can_be_evaluated(self) -> "BreakpointRequest":
        if self.condition is not None:
            try:
                check_condition(self.location, self.condition)
            except InvalidInput as error:
                raise ValueError(error.message) from None
        return self


def _form_of(given: Any) -> str:
    """Which form of a breakpoint it is: then what is said of it is about that form alone."""
    return "location" if isinstance(given, str) else "breakpoint"


Point = Annotated[
    Annotated[Location, Tag("location")] | Annotated[BreakpointRequest, Tag("breakpoint")],
    Discriminator(_form_of),
]


def breakpoints_of(asked: "tuple[Location | BreakpointRequest, ...]") -> tuple[Breakpoint, ...]:
    """Both forms of a breakpoint, a bare location or one with a condition, as the contract's value."""
    return tuple(
        Breakpoint(location=one)
        if isinstance(one, str)
        else Breakpoint(location=one.location, condition=one.condition)
        for one in asked
    )


class StartRequest(Request):
    """Start a run of a registered workflow: on ``host``, or on whichever host of the pool has a free slot."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"workflow": "lina", "params": {"epic": "NMSTX-187"}}]},
    )

    workflow: WorkflowName
    params: dict[str, JsonValue] = Field(default_factory=dict)
    host: HostId | None = None
    pool: PoolName | None = None
    debug: bool = False
    breakpoints: Annotated[tuple[Point, ...], Field(max_length=MAX_BREAKPOINTS)] = ()


class KillRequest(Request):
    """End a run: ``grace_seconds`` overrides the workflow's; ``force`` leaves the grace out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "stuck since 02:40", "grace_seconds": 5}]}
    )

    reason: Reason | None = None
    force: bool = False
    grace_seconds: Grace | None = None


class RestartRequest(Request):
    """Start the same again under a new run id; ``params`` replaces the parameters it names."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "wrong epic", "params": {"epic": "NMSTX-188"}}]}
    )

    reason: Reason | None = None
    resume: bool = False
    params: dict[str, JsonValue] | None = None
    host: HostId | None = None
    pool: PoolName | None = None
    force: bool = False
    grace_seconds: Grace | None = None


class PauseRequest(Request):
    """Hold a run."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the API is being migrated"}]})

    reason: Reason | None = None


class ContinueRequest(Request):
    """Let a paused run go on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the API is back"}]})

    reason: Reason | None = None


class StepRequest(Request):
    """Let a held run go on to its next boundary; where it is held at a line: over, into or out of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "over"}]})

    mode: DebugMode = "over"


class BreakpointsRequest(Request):
    """The places where the run is to be held: all of them, as they replace those there are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"breakpoints": ["step:plan", {"location": "step:fetch", "condition": "count > 3"}]},
            ]
        }
    )

    breakpoints: Annotated[tuple[Point, ...], Field(max_length=MAX_BREAKPOINTS)]


class VariableRequest(Request):
    """Change a variable of a held run; without ``scope``, in the first scope that has one of this name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "limit", "value": 500}]})

    name: Annotated[str, Field(min_length=1, max_length=200)]
    value: JsonValue
    scope: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class EvaluateRequest(Request):
    """Evaluate an expression in the language of the program, in a frame of its stack; 0 is the innermost."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expression": "len(items)"}]})

    expression: Annotated[str, Field(min_length=1, max_length=4_000)]
    frame: Annotated[int, Field(ge=0, le=1_000)] = 0


class DecideRequest(Request):
    """What becomes of a run that waits for a decision or for its next attempt."""

    decision: Decision
    reason: Reason | None = None


class ForceCompleteRequest(Request):
    """Declare the outcome; ``detach`` leaves the processes alive, ``replace`` moves an outcome already reached."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"outcome": "completed", "reason": "the result was already stored"}]}
    )

    outcome: Outcome = "failed"
    reason: Reason | None = None
    detach: bool = False
    replace: bool = False


class Selector(Request):
    """Open runs by workflow, status, host or being stuck; what is not named does not narrow. At least one is named."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    workflow: WorkflowName | SkipJsonSchema[None] = None
    status: Status | SkipJsonSchema[None] = None
    host: HostId | SkipJsonSchema[None] = None
    stuck: bool | SkipJsonSchema[None] = None

    @model_validator(mode="before")
    @classmethod
    def _names_something(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            if not raw:
                raise ValueError(
                    "name at least one of workflow, status, host, stuck: an empty selector kills nothing"
                )
            for name, value in raw.items():
                if value is None:
                    raise ValueError(f"{name} is null: give it a value or leave it out")
        return raw


class KillRunsRequest(Request):
    """Kill every open run that the selector matches; ``dry_run`` only says which."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"selector": {"workflow": "lina", "stuck": True}, "reason": "stuck", "dry_run": True}
            ]
        }
    )

    selector: Selector
    reason: Reason | None = None
    force: bool = False
    grace_seconds: Grace | None = None
    dry_run: bool = False
