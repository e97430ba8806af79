"""JSON Schemas of what is sent to us, as true as JSON Schema can say it.

Pydantic knows the types; what validators take beside them (``30s``, ``2GiB``, names of signals) is laid over here.
"""

import signal
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from control_plane.api.documents import NotificationTestRequest, WorkflowRequest
from control_plane.api.problems import FieldError, Problem
from control_plane.command_side import (
    BreakpointsRequest,
    ContinueRequest,
    DecideRequest,
    EvaluateRequest,
    ForceCompleteRequest,
    KillRequest,
    KillRunsRequest,
    PauseRequest,
    RestartRequest,
    StartRequest,
    StepRequest,
    VariableRequest,
)

Schema = dict[str, Any]

_BODIES: tuple[type[BaseModel], ...] = (
    StartRequest,
    KillRequest,
    RestartRequest,
    ContinueRequest,
    DecideRequest,
    ForceCompleteRequest,
    KillRunsRequest,
    PauseRequest,
    StepRequest,
    BreakpointsRequest,
    VariableRequest,
    EvaluateRequest,
    WorkflowRequest,
    NotificationTestRequest,
    Problem,
    FieldError,
)
_LONGEST_SECONDS = 366 * 86_400
_LARGEST_BYTES = 2**60
_NO_NUL = r"^[^\x00]*$"

DURATION: Schema = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": _LONGEST_SECONDS},
        {
            "type": "string",
            "minLength": 1,
            "pattern": r"^([0-9]{1,7}(\.[0-9]{1,3})?"
            r"|([0-9]{1,2}d)?([0-9]{1,3}h)?([0-9]{1,4}m)?([0-9]{1,5}(\.[0-9]{1,3})?s)?([0-9]{1,6}ms)?)$",
        },
    ],
    "description": "Seconds, or a duration like 30s, 10m or 1h30m",
    "examples": ["30s"],
}
SIZE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": _LARGEST_BYTES},
        {"type": "string", "pattern": r"^[0-9]{1,5}(\.[0-9]{1,2})?(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$"},
    ],
    "description": "Bytes, or a size like 512MB or 2GiB",
    "examples": ["2GiB"],
}
_SIGNALS = sorted(signal.Signals.__members__)
SIGNAL: Schema = {
    "type": "string",
    "enum": [*_SIGNALS, *(name.removeprefix("SIG") for name in _SIGNALS)],
    "default": "SIGTERM",
}
PARAMETERS: Schema = {
    "type": "object",
    "description": "A JSON Schema (draft 2020-12) of an object; `secret: true` marks a parameter that is never stored",
    "properties": {
        "type": {"const": "object"},
        "properties": {"type": "object", "additionalProperties": {"type": "object"}},
        "required": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "additionalProperties": {"type": "boolean"},
    },
}
PATTERN: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1_000,
    "format": "regex",
    "pattern": r"\(\?P<(done|percent)>",
    "description": "A regular expression with a group done or percent, and total, unit, message if you like",
    "examples": ["(?P<done>[0-9]+)/(?P<total>[0-9]+) (?P<message>.*)"],
}
_FILES_NEED_A_PATH: Schema = {
    "if": {"properties": {"workspace": {"pattern": "^/"}}, "required": ["workspace"]},
    "else": {"properties": {"files": {"maxItems": 0}}},
}
_ONCE: Schema = {"times": {"const": 1}, "workflow": {"type": "null"}}
_LINK: Schema = {
    "oneOf": [
        {"properties": {"do": {"enum": ["retry", "resume", "restart"]}, "workflow": {"type": "null"}}},
        {
            "properties": {"do": {"const": "run"}, "times": {"const": 1}, "workflow": {"type": "string"}},
            "required": ["workflow"],
        },
        {"properties": {"do": {"enum": ["escalate", "give_up"]}, **_ONCE}},
    ]
}
_CHAIN_OR_FOLLOWER: Schema = {
    "if": {"properties": {"chain": {"minItems": 1}}, "required": ["chain"]},
    "then": {"properties": {"on_failure": {"type": "null"}}},
}
_OVERLAID: dict[str, dict[str, Schema]] = {
    "KillPolicy": {"signal": SIGNAL, "grace": DURATION},
    "Timeouts": {"run": DURATION, "step": DURATION, "queue": DURATION},
    "DisconnectPolicy": {"stop_after": DURATION, "lost_after": DURATION},
    "RetryPolicy": {"initial": DURATION, "max": DURATION},
    "StuckPolicy": {"silent": DURATION, "spinning": DURATION, "step": DURATION},
    "Limits": {"memory": SIZE, "output": SIZE},
    "ProgressPattern": {"pattern": PATTERN},
    "WorkflowRequest": {
        "timeout": DURATION,
        "params": PARAMETERS,
        "env": {
            "type": "object",
            "propertyNames": {"pattern": r"^(?!RUNPLANE_)[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": "string", "pattern": _NO_NUL},
        },
    },
}


def request_schemas() -> dict[str, Schema]:
    """The components that request bodies are made of, and the problem that errors are."""
    _, document = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Schema] = document["$defs"]
    for name, properties in _OVERLAID.items():
        for field, schema in properties.items():
            schemas[name]["properties"][field] = _kept(schemas[name]["properties"][field], schema)
    schemas["WorkflowRequest"] |= _FILES_NEED_A_PATH
    schemas["RecoveryLink"] |= _LINK
    schemas["RecoveryPolicy"] |= _CHAIN_OR_FOLLOWER
    arguments = schemas["WorkflowRequest"]["properties"]["command"]
    arguments["items"] |= {"pattern": _NO_NUL}
    arguments["prefixItems"] = [{"type": "string", "pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"}]
    return schemas


def _kept(before: Schema, overlay: Schema) -> Schema:
    """The overlay, with what else the field may be: null, or a word."""
    others = [
        option
        for option in before.get("anyOf", ())
        if option.get("type") == "null" or "const" in option or option.get("enum")
    ]
    result = dict(overlay)
    if others:
        result["anyOf"] = [*overlay.get("anyOf", [overlay]), *others]
    if "default" in before:
        result["default"] = before["default"]
    return result
