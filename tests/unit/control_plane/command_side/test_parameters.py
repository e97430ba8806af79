from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.command_side.parameters import check_json, check_parameters, check_schema
from runplane.contract.errors import InvalidInput
from runplane.contract.workflow import WorkflowDefinition

SCHEMA = {
    "type": "object",
    "required": ["epic"],
    "properties": {
        "epic": {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"},
        "rounds": {"type": "integer", "minimum": 1, "default": 3},
        "mode": {"enum": ["fast", "thorough"]},
        "token": {"type": "string", "secret": True, "minLength": 40},
        "options": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
    },
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def workflow(params: dict[str, Any]) -> WorkflowDefinition:
    return WorkflowDefinition(name="lina", command=("true",), params=params)


def errors_of(params: dict[str, Any], schema: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInput) as caught:
        check_parameters(workflow(schema or SCHEMA), params)
    errors: list[dict[str, Any]] = caught.value.fields["errors"]
    return errors


def test_defaults_are_filled_in() -> None:
    filled = check_parameters(workflow(SCHEMA), {"epic": "X-1"})
    assert filled == {"epic": "X-1", "rounds": 3}


@pytest.mark.parametrize(
    ("params", "field", "part"),
    [
        ({}, "params.epic", "params.epic is required"),
        ({"epic": "x"}, "params.epic", 'params.epic is "x": allowed is pattern'),
        ({"epic": "X-1", "rounds": 0}, "params.rounds", "params.rounds is 0: allowed is minimum 1"),
        ({"epic": "X-1", "rounds": "3"}, "params.rounds", 'allowed is type "integer"'),
        ({"epic": "X-1", "mode": "slow"}, "params.mode", 'allowed is enum ["fast", "thorough"]'),
        ({"epic": "X-1", "options": {"deep": 1}}, "params.options.deep", "allowed is type"),
        ({"epic": "X-1", "rouns": 3}, "params.rouns", "there are: epic, mode, options, rounds, token"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(params: dict[str, Any], field: str, part: str) -> None:
    (error,) = errors_of(params)
    assert error["field"] == field
    assert part in error["message"]


def test_every_error_is_told_at_once() -> None:
    assert {one["field"] for one in errors_of({"epic": 1, "rounds": 0, "mode": "x"})} == {
        "params.epic",
        "params.rounds",
        "params.mode",
    }


def test_long_values_are_shortened() -> None:
    (error,) = errors_of({"epic": "x" * 100_000})
    assert len(error["value"]) <= 80
    assert len(error["message"]) < 300


def test_unknown_parameters_are_refused_unless_the_schema_says_otherwise() -> None:
    assert errors_of({"b": 1}, {"properties": {"a": {}}})
    assert errors_of({"b": 1}, {})
    assert check_parameters(workflow({"additionalProperties": True}), {"b": 1}) == {"b": 1}
    assert check_parameters(workflow({"patternProperties": {"^x-": {}}}), {"x-b": 1}) == {"x-b": 1}
    assert errors_of({"y": 1}, {"patternProperties": {"^x-": {}}})


@pytest.mark.parametrize(
    "value", ["hunter2", "secret:", "secret:a b", "SECRET:X", 7, None, ["secret:X"], " secret:X"]
)
def test_a_secret_takes_a_reference_only_and_is_never_repeated(value: Any) -> None:
    errors = errors_of({"epic": "X-1", "token": value})
    assert [one["field"] for one in errors] == ["params.token"]
    assert "hunter2" not in str(errors)
    assert errors[0]["value"] is None


def test_a_reference_need_not_fit_what_is_said_of_the_value() -> None:
    params: dict[str, Any] = {"epic": "X-1", "token": "secret:LINEAR_KEY"}
    assert check_parameters(workflow(SCHEMA), params)["token"] == "secret:LINEAR_KEY"


def test_the_value_of_an_unknown_parameter_may_be_a_secret_and_is_not_repeated() -> None:
    assert "hunter2" not in str(errors_of({"epic": "X-1", "tokn": "hunter2"}))


def test_rules_over_several_parameters_do_not_repeat_them() -> None:
    schema = {"properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}}
    (error,) = errors_of({"a": "hunter2", "b": 1}, schema)
    assert (error["field"], "hunter2" in str(error)) == ("params", False)


def test_nothing_outside_the_schema_is_fetched() -> None:
    outside = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}
    with pytest.raises(InvalidInput, match="leads outside"):
        check_schema(workflow(outside))
    assert "not in it" in errors_of({"a": 1}, outside)[0]["message"]
    inside = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    check_schema(workflow(inside))
    assert errors_of({"a": "x"}, inside)[0]["field"] == "params.a"


def test_a_schema_that_goes_round_in_circles_is_an_error_not_a_crash() -> None:
    assert (
        "too deeply" in errors_of({"a": 1}, {"properties": {"a": {"$ref": "#/properties/a"}}})[0]["message"]
    )


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "array"}, "params.type"),
        ({"properties": {"a": {"type": "strnig"}}}, "params.properties.a.type"),
        ({"properties": {"a": {"type": "string", "default": 3}}}, "params.properties.a.default"),
        ({"properties": {"a": {"secret": True, "default": "x"}}}, "params.properties.a"),
        ({"required": "a"}, "params.required"),
    ],
)
def test_a_schema_that_cannot_work_is_refused_when_it_is_registered(
    schema: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_schema(workflow(schema))
    assert caught.value.fields["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [float("-inf")], {"a": {"b": float("nan")}}, 10**400]
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        check_json("params.x", value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(41):
        value = [value]
    with pytest.raises(InvalidInput, match="nested deeper"):
        check_json("params.x", value)


@given(st.dictionaries(st.text(), anything, max_size=5))
def test_whatever_is_given_is_taken_or_refused(params: dict[str, Any]) -> None:
    with suppress(InvalidInput):
        assert check_parameters(workflow(SCHEMA), params)["rounds"] >= 1  # type: ignore[operator]
