import pytest

from runplane.cli.problem import Exit, Problem
from runplane.cli.selector import parse_selector


def test_all_parts() -> None:
    assert parse_selector("workflow=lina, status=running,host=h1,stuck=TRUE") == {
        "workflow": "lina", "status": "running", "host": "h1", "stuck": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no part"), ("workflow", "no part"), ("workflow=", "no part"), ("name=x", "'name=x'"),
        ("host=a,host=b", "twice"), ("stuck=perhaps", "true or false"), ("status=completed", "only open runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(text: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as raised:
        parse_selector(text)
    assert raised.value.exit_code is Exit.USAGE
    assert "--selector workflow=" in raised.value.hint
