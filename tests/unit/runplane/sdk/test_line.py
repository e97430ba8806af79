import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.sdk.line import LINE_LIMIT, is_marker, line, shown

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers())
    ),
    max_leaves=20,
)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("not even this")


def _read(body: dict[str, object]) -> dict[str, Any]:
    data = line(body)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert len(data) <= LINE_LIMIT
    found = json.loads(data.decode(), parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


@given(value=_VALUES)
def test_any_value_makes_one_valid_line(value: object) -> None:
    _read({"variables": {"value": value}})
    _read({"step": "plan", "state": "completed", "result": value})


@pytest.mark.parametrize(
    "value",
    [
        Hostile(),
        {1, 2},
        b"\xff",
        "\udc80",
        float("nan"),
        10**400,
        10**5000,
        {("a", 1): 2},
        [[[[[[[[[]]]]]]]]],
        type,
    ],
    ids=["hostile", "set", "bytes", "surrogate", "nan", "big", "endless", "key", "deep", "type"],
)
def test_what_is_not_json_is_readable_where_it_is_shown_and_absent_where_it_is_exact(value: object) -> None:
    assert "value" in _read({"variables": {"value": value}})["variables"]
    result = _read({"step": "plan", "result": value})["result"]
    assert is_marker(result) or json.dumps(result) == json.dumps(value)


def test_a_structure_that_contains_itself_makes_a_line() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert is_marker(_read({"result": loop})["result"])
    assert "loop" in _read({"variables": {"loop": loop}})["variables"]


def test_the_widest_values_give_way() -> None:
    values = {"small": 1, "wide": "x" * 50_000, "wider": "y" * 60_000}
    found = _read({"variables": values})["variables"]
    assert found["small"] == 1
    assert found["wide"] == values["wide"]
    assert found["wider"] == {"$truncated": True, "bytes": 60_002}


def test_where_all_of_them_are_wide_each_gives_way_within() -> None:
    wide = {"small": 1, "wide": "x" * 500_000}
    found = _read({"held": {"at": "step:plan", "inputs": wide, "variables": wide}})["held"]
    assert found["at"] == "step:plan"
    for scope in ("inputs", "variables"):
        assert found[scope] == {"small": 1, "wide": {"$truncated": True, "bytes": 500_002}}


def test_a_wide_result_gives_way_as_a_whole() -> None:
    found = _read({"step": "plan", "index": 3, "result": {"a": "x" * 70_000, "b": 1}})
    assert (found["step"], found["index"]) == ("plan", 3)
    assert is_marker(found["result"])


def test_too_many_values_give_way_together() -> None:
    found = _read({"variables": {f"name{number}": number for number in range(20_000)}})
    assert is_marker(found["variables"])


def test_text_outside_ascii_is_counted_in_bytes() -> None:
    _read({"variables": {"text": "é" * 40_000}})


def test_secrets_are_known_by_their_names() -> None:
    assert shown({"password": "p", "API_KEY": b"k", "tokens": 12, "author": "ada"}) == {
        "password": "***",
        "API_KEY": "***",
        "tokens": 12,
        "author": "ada",
    }
