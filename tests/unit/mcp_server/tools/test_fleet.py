from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.tools.fleet import Selector


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"workflow": "lina"}, {"workflow": "lina"}),
        ({"stuck": True, "host": "h1"}, {"stuck": True, "host": "h1"}),
        ({"stuck": False}, {"stuck": False}),
        ("workflow=lina,status=running", {"workflow": "lina", "status": "running"}),
        (" stuck = true ", {"stuck": True}),
    ],
)
def test_a_selector_as_object_or_as_text(given: Any, named: dict[str, Any]) -> None:
    assert Selector.model_validate(given).named == named


@pytest.mark.parametrize(
    "given",
    [
        {},
        "",
        ",",
        {"workflow": None},
        "lina",
        {"status": "stuck"},
        {"worklfow": "x"},
        "workflow=",
        "host=../x",
    ],
)
def test_a_selector_that_names_nothing_or_the_wrong_thing_selects_nothing(given: Any) -> None:
    with pytest.raises(ValidationError):
        Selector.model_validate(given)
