import json
from pathlib import Path

import pytest

from agent.process.errors import LaunchError
from agent.process.launch_request import LaunchRequest, check, public_spec, whole_spec
from agent.process.limit_groups import LimitGroups


def request(*argv: str, cwd: str = "/") -> LaunchRequest:
    return LaunchRequest(
        run_id="run_000000000001",
        attempt=1,
        directory=Path("/runs/1"),
        argv=argv,
        cwd=cwd,
        env={},
        params={"a": 1},
    )


@pytest.mark.parametrize(
    ("asked", "env", "field"),
    [
        (request(), {}, "argv[0]"),
        (request(""), {}, "argv[0]"),
        (request("a", "b\0c"), {}, "argv[1]"),
        (request("a", "\ud800"), {}, "argv[1]"),
        (request("a", cwd="/\0"), {}, "cwd"),
        (request("a"), {"A": "\0"}, "env.A"),
        (request("a"), {"": "x"}, "env"),
        (request("a"), {"A=B": "x"}, "env"),
    ],
)
def test_refused_before_anything_is_touched(asked: LaunchRequest, env: dict[str, str], field: str) -> None:
    with pytest.raises(LaunchError) as caught:
        check(asked, env)
    assert (caught.value.kind, caught.value.field) == ("bad_argument", field)
    assert field in caught.value.message


def test_too_long_for_anybody() -> None:
    with pytest.raises(LaunchError) as caught:
        check(request("a", "x" * (17 << 20)), {})
    assert caught.value.kind == "argument_too_long"


def test_strange_bytes_may_pass() -> None:
    check(request("a", "", "\udcff", "ü"), {"A": "", "B": "="})


def test_what_is_stored_has_no_values_of_the_environment() -> None:
    asked = request("a", "\udcff")
    stored = json.dumps(public_spec(asked, {"TOKEN": "secret"}))
    assert "TOKEN" in stored
    assert "secret" not in stored
    assert json.loads(stored)["params"] == {"a": 1}
    told = json.loads(whole_spec(asked, {"TOKEN": "secret"}, None, LimitGroups()))
    assert told["env"] == {"TOKEN": "secret"}
    assert told["argv"] == ["a", "\udcff"]
