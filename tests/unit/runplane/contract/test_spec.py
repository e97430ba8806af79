"""A definition and parameters resolve into exactly what is started."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.errors import InvalidInput
from runplane.contract.spec import Breakpoint, RunSpec, render, resolve
from runplane.contract.workflow import WorkflowDefinition
from tests.strategies import json_values


def definition(*command: str, **fields: Any) -> WorkflowDefinition:
    names = ("epic", "count", "dry", "tags", "token")
    properties = {name: {"secret": name == "token"} for name in names}
    raw = {"name": "lina", "command": ["lina", *command], "params": {"properties": properties}, **fields}
    return WorkflowDefinition.model_validate(raw)


def argv(*command: str, **params: Any) -> tuple[str, ...]:
    return resolve(definition(*command), 1, params).argv[1:]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b; rm -rf /", "a b; rm -rf /"),
        ("", ""),
        ("{count}", "{count}"),
        (3, "3"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (True, "true"),
        (False, "false"),
        ([1, "zwei", None], '[1,"zwei",null]'),
        ({"ä": {"b": []}}, '{"ä":{"b":[]}}'),
    ],
)
def test_a_parameter_becomes_one_argument_whatever_is_in_it(value: Any, text: str) -> None:
    assert argv("--epic", "{epic}", "--x={epic}!", epic=value) == ("--epic", text, f"--x={text}!")


def test_an_argument_that_is_an_optional_parameters_place_alone_is_left_out() -> None:
    assert argv("{epic}", "{count}", "end", count=1) == ("1", "end")
    assert argv("{epic}", "end", epic=None) == ("end",)


def test_within_a_longer_argument_a_parameter_that_was_not_given_is_empty() -> None:
    assert argv("--epic={epic}", "{epic}{count}") == ("--epic=", "")


@pytest.mark.parametrize(
    "text", ["${HOME}", "{ epic }", "{}", "{1}", '{"a": 1}', "{a-b}", "{print $1}", "}{"]
)
def test_braces_that_are_no_parameter_are_left_alone(text: str) -> None:
    assert argv(text, epic="x") == (text,)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_value_is_never_looked_into(value: str) -> None:
    assert argv("{epic}", "<{epic}>", epic=value, count="no") == (value, f"<{value}>")


@given(st.dictionaries(st.sampled_from(["epic", "count", "dry", "tags"]), json_values))
def test_a_spec_survives_the_wire(params: dict[str, Any]) -> None:
    spec = resolve(definition("{epic}", env={"TAGS": "{tags}"}), 3, params)

    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_environment_is_rendered_and_absent_parameters_are_empty() -> None:
    spec = resolve(definition(env={"EPIC": "E-{epic}", "COUNT": "{count}", "FIXED": "${X}"}), 1, {"epic": 7})

    assert spec.env == {"EPIC": "E-7", "COUNT": "", "FIXED": "${X}"}


def test_a_secret_is_a_reference_from_the_workflow_or_a_secret_parameter() -> None:
    spec = resolve(definition(env={"A": "secret:KEY", "B": "{token}"}), 1, {"token": "secret:OTHER"})

    assert spec.env == {"A": "secret:KEY", "B": "secret:OTHER"}


@pytest.mark.parametrize("value", ["secret:DATABASE_PASSWORD", "secret:"])
def test_an_ordinary_parameter_cannot_fetch_a_secret(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"env\.EPIC would become a reference to a secret"):
        resolve(definition(env={"EPIC": "{epic}"}), 1, {"epic": value})
    with pytest.raises(InvalidInput):
        resolve(definition(env={"EPIC": "{epic}{count}"}), 1, {"epic": "sec", "count": "ret:X"})


def test_where_it_runs_is_the_requests_choice_before_the_workflows() -> None:
    plain = resolve(definition(pool="gpu", debug=True), 4, {})
    assert (plain.pool, plain.host, plain.debug, plain.workflow_version) == ("gpu", None, True, 4)

    chosen = resolve(
        definition(pool="gpu"), 4, {}, host="h1", pool="cpu", breakpoints=(Breakpoint(location="step:*"),)
    )
    assert (chosen.pool, chosen.host, chosen.breakpoints[0].location) == ("cpu", "h1", "step:*")


def test_render_leaves_names_it_does_not_know() -> None:
    assert render("{a} {b}", {"a": None}) == " {b}"
