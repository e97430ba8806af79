import json
from typing import Any

import pytest
from pydantic import ValidationError

from control_plane.command_side.repetition import Repeatable, content_of
from control_plane.command_side.requests import (
    ForceCompleteRequest,
    KillRequest,
    KillRunsRequest,
    StartRequest,
    breakpoints_of,
)


def read(kind: Any, **fields: Any) -> Any:
    return kind.model_validate_json(json.dumps(fields), strict=True)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (KillRequest, {"force": "yes"}),
        (KillRequest, {"force": 1}),
        (KillRequest, {"grace_seconds": "5"}),
        (KillRequest, {"grace_seconds": -1}),
        (KillRequest, {"grace_seconds": 86_401}),
        (KillRequest, {"reason": "x" * 2_001}),
        (KillRequest, {"resaon": "x"}),
        (ForceCompleteRequest, {"outcome": "killed"}),
        (StartRequest, {}),
        (StartRequest, {"workflow": "Lina"}),
        (StartRequest, {"workflow": "lina", "params": []}),
        (StartRequest, {"workflow": "lina", "pool": "a b"}),
        (StartRequest, {"workflow": "lina", "breakpoints": ["here"]}),
        (StartRequest, {"workflow": "lina", "breakpoints": ["step:x\n"]}),
        (StartRequest, {"workflow": "lina", "breakpoints": [{"location": "a.py:0"}]}),
        (KillRunsRequest, {"selector": {}}),
        (KillRunsRequest, {"selector": {"stuck": None}}),
        (KillRunsRequest, {"selector": {"status": "dead"}}),
        (KillRunsRequest, {}),
    ],
)
def test_what_is_not_meant_is_refused(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(kind, **fields)


def test_both_forms_of_a_breakpoint() -> None:
    asked = ["step:plan", "step:*", {"location": "lina.py:12", "condition": "n > 3"}]
    request = read(StartRequest, workflow="lina", breakpoints=asked)
    found = breakpoints_of(request.breakpoints)
    assert [(one.location, one.condition) for one in found] == [
        ("step:plan", None),
        ("step:*", None),
        ("lina.py:12", "n > 3"),
    ]


def test_a_repeated_request_is_told_from_another_under_the_same_key() -> None:
    first = Repeatable.of("operator", "k", "kill", "run_1", content_of(KillRequest(reason="a")))
    same = Repeatable.of("operator", "k", "kill", "run_1", content_of(KillRequest(reason="a", force=False)))
    other = Repeatable.of("operator", "k", "kill", "run_1", content_of(KillRequest(reason="b")))
    assert first == same
    assert (first.command_id, first.run_id) == (other.command_id, other.run_id)
    assert first.correlation_id != other.correlation_id
    assert Repeatable.of("somebody", "k", "kill").command_id != first.command_id
