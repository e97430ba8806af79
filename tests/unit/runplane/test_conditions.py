"""Conditions: what can be asked, what cannot, and what is said of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.conditions import ConditionError, check, check_condition, holds, value_of
from runplane.contract.errors import InvalidInput

NAMES: dict[str, Any] = {
    "count": 4,
    "state": "open",
    "items": [{"name": "x", "size": 2}],
    "data": {"a": None},
}


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("count > 3", True),
        ("count > 3 and state == 'closed'", False),
        ("items[0].name == 'x' and len(items) == 1", True),
        ("data['a'] == null", True),
        ("true if count else false", True),
        ("'pen' in state", True),
        ("not (count + 1) % 5", True),
        (" lower(state) == 'open' ", True),
    ],
)
def test_a_condition_is_told_of_the_values(condition: str, is_true: bool) -> None:
    check(condition)
    assert holds(condition, NAMES) is is_true


@pytest.mark.parametrize(
    "condition",
    [
        "", " ", "count >", "a = 1", "import os", "__import__('os')", "open('x')", "x.__class__", "lambda: 1",
        "[x for x in items]", "(y := 1)", "f'{count}'" * 200, "exec('1')", "items.append(1)", "\x00", "(" * 500,
    ],
)  # fmt: skip
def test_what_can_never_be_told_is_refused(condition: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(condition)
    assert refused.value.error_code == "invalid_condition"
    assert "functions: abs" in refused.value.message


@pytest.mark.parametrize(
    "condition", ["nothing > 3", "count > state", "9**9**9", "'a' * 10**9", "items[7]", "1 / 0"]
)
def test_what_cannot_be_told_of_these_values_says_why(condition: str) -> None:
    with pytest.raises(ConditionError, match=r"cannot be evaluated: ."):
        holds(condition, NAMES)


def test_a_line_takes_any_expression_of_python() -> None:
    check_condition("lina.py:3", "any(x for x in items)")
    with pytest.raises(InvalidInput, match="no expression of Python"):
        check_condition("lina.py:3", "count >")
    with pytest.raises(InvalidInput):
        check_condition("step:plan", "any(x for x in items)")


def test_the_value_of_an_expression_is_given_back() -> None:
    assert value_of("items[0].size * 10 + count", NAMES) == 24


@given(
    st.text(max_size=40),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)
def test_whatever_is_given_nothing_else_is_raised(condition: str, names: dict[str, Any]) -> None:
    try:
        check(condition)
        holds(condition, names)
    except (InvalidInput, ConditionError):
        pass
