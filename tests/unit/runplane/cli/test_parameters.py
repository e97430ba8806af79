from pathlib import Path
from typing import Any

import pytest

from runplane.cli.parameters import read_parameters, read_value
from runplane.cli.problem import Exit, Problem
from runplane.contract.workflow import WorkflowDefinition

DEFINITION = WorkflowDefinition.model_validate(
    {
        "name": "w",
        "command": ["true"],
        "params": {"properties": {"epic": {"type": "string"}, "count": {"type": "integer"}}},
    }
)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({}, "7", "7"),
        ({"type": "string"}, "7", "7"),
        ({"type": "integer"}, "7", 7),
        ({"type": "number"}, "7", 7),
        ({"type": "number"}, "7.5", 7.5),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "Off", False),
        ({"type": "array"}, '["a", 1]', ["a", 1]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": "null"}, "null", None),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "string"]}, "7", "7"),
        ({"enum": ["healthy", "stuck"]}, "stuck", "stuck"),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": True}, "true", True),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "yes", True),
    ],
)
def test_a_value_is_read_as_the_schema_says(schema: dict[str, Any], text: str, value: Any) -> None:
    read = read_value("p", text, schema)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "7.5"),
        ("integer", "x"),
        ("number", "nan"),
        ("boolean", "maybe"),
        ("array", "{}"),
        ("object", "["),
    ],
)
def test_what_cannot_be_read_names_the_parameter_and_never_the_value(kind: str, text: str) -> None:
    with pytest.raises(Problem, match=f"-p secretive: the value is no {kind}") as raised:
        read_value("secretive", text, {"type": kind})
    assert raised.value.exit_code is Exit.USAGE
    assert text not in raised.value.message.removeprefix("-p secretive: the value is no ")


def test_pairs_win_over_the_file_and_may_hold_equals_signs(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("epic: A\ncount: 3\n")
    assert read_parameters(["epic=B=C"], str(file), DEFINITION) == {"epic": "B=C", "count": 3}


def test_an_unknown_parameter_is_left_to_the_plane_to_refuse() -> None:
    assert read_parameters(["nosuch=1"], None, DEFINITION) == {"nosuch": "1"}


@pytest.mark.parametrize("pair", ["epic", "=x"])
def test_a_pair_needs_key_and_value(pair: str) -> None:
    with pytest.raises(Problem, match="KEY=VALUE"):
        read_parameters([pair], None, None)


@pytest.mark.parametrize("text", ["[1]", "just text", "{", "1: 2"])
def test_a_file_holds_an_object(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.json"
    file.write_text(text)
    with pytest.raises(Problem, match=r"params\.json"):
        read_parameters([], str(file), None)
