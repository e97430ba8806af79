"""Values are cut to a size, and say so."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.debugging import Variable, cut, fitted, scope_of, shortened, shown_value
from tests.strategies import json_values


@given(json_values, st.integers(16, 200))
def test_what_is_cut_is_the_beginning_of_it_in_about_so_many_bytes(value: Any, most: int) -> None:
    beginning, size = cut(value, most)
    whole = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if size is None:
        assert beginning == value
        assert len(whole) <= most
    else:
        assert size == len(whole) > most
        assert type(beginning) is type(value)


def test_a_long_value_is_cut_within_its_structure() -> None:
    value: dict[str, Any] = {"a": ["x" * 100, "y" * 100], "b": 1}
    one = shortened(Variable(name="v", type="object", value=value), 60)
    assert (one.truncated, one.bytes) == (True, 219)
    assert isinstance(one.value, dict)
    assert json.dumps(one.value["a"]).startswith('["xxx')
    assert len(json.dumps(one.value)) < 90


def test_scopes_are_fitted_whatever_they_hold() -> None:
    scopes = (scope_of("inputs", {f"n{number}": "x" * 10_000 for number in range(300)}),)
    assert len(fitted(scopes, 64 << 10)[0].model_dump_json()) < 100_000


def test_a_value_is_shown_as_its_program_writes_it() -> None:
    assert shown_value(Variable(name="a", type="str", value="x")) == '"x"'
    assert shown_value(Variable(name="a", type="Lock", value="<locked>")) == "<locked>"
    assert shown_value(Variable(name="a", type="list", value=[1])) == "[1]"


def test_what_was_too_long_to_be_reported_says_so() -> None:
    [one] = scope_of("inputs", {"text": {"$truncated": True, "bytes": 7}}).variables
    assert (one.value, one.truncated, one.bytes) == (None, True, 7)
