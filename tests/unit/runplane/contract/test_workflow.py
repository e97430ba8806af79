"""A workflow file is checked field by field, and each objection names field, value and what to write instead."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from runplane.contract.explain import explain
from runplane.contract.workflow import WorkflowDefinition
from tests.strategies import json_values

LINA: dict[str, Any] = {"name": "lina", "command": ["python", "lina.py"]}
PARAMS: dict[str, Any] = {"properties": {"epic": {"type": "string"}, "token": {"secret": True}}}


def problems(**fields: Any) -> list[str]:
    raw = {name: value for name, value in (LINA | fields).items() if value is not ...}
    try:
        WorkflowDefinition.model_validate(raw)
    except ValidationError as error:
        return [str(problem) for problem in explain(error, WorkflowDefinition)]
    return []


def test_the_shortest_workflow_has_the_documented_defaults() -> None:
    definition = WorkflowDefinition.model_validate(LINA)

    assert definition.model_dump(exclude_defaults=True) == LINA | {"command": ("python", "lina.py")}
    assert (definition.pool, definition.output, definition.workspace) == ("default", "plain", ".")
    assert (definition.kill.signal, definition.kill.grace, definition.leftovers) == ("SIGTERM", 10, "end")


def test_a_whole_workflow_is_read_and_survives_the_wire() -> None:
    definition = WorkflowDefinition.model_validate(
        LINA
        | {
            "params": PARAMS,
            "command": ["python", "lina.py", "--epic", "{epic}", "${HOME}", "{ not one }"],
            "env": {"LEVEL": "info", "KEY": "secret:LINEAR_KEY", "TOKEN": "{token}"},
            "timeout": "30m",
            "kill": {"signal": "int", "grace": "2s"},
            "limits": {"memory": "2GiB", "cpus": 1.5, "processes": 200, "output": "1GiB"},
            "stuck": {"silent": "5m", "spinning": "auto", "looping": 50, "action": "kill"},
            "retry": {"max_attempts": 3, "on": ["lost"], "not_on_exit": [2]},
            "recovery": {"from": "checkpoint", "on_failure": "cleanup-lina"},
            "concurrency": {"limit": 2, "when_full": "reject"},
            "disconnect": {"stop_after": "10m"},
        }
    )

    assert (definition.timeout, definition.kill.signal, definition.limits.memory) == (1800, "SIGINT", 2**31)
    assert (definition.stuck.silent, definition.stuck.spinning) == (300, "auto")
    assert definition.recovery.from_ == "checkpoint"
    assert definition.secret_params == {"token"}
    assert WorkflowDefinition.model_validate_json(definition.model_dump_json()) == definition
    assert '"from":"checkpoint"' in definition.model_dump_json()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timout": "3m"}, "timout: there is no such field: did you mean timeout?"),
        ({"kill": {"sginal": "SIGINT"}}, "kill.sginal: there is no such field: did you mean signal?"),
        ({"recovery": {"form": "beginning"}}, "recovery.form: there is no such field: did you mean from?"),
        (
            {"kill": {"colour": 1}},
            "kill.colour: there is no such field: remove it (there are: signal, grace)",
        ),
        ({"command": ...}, "command: is missing: add it"),
        ({"command": "python lina.py"}, "command: 'python lina.py' is no list: write it like [one, two]"),
        ({"command": []}, "command: is empty: at least one element is needed"),
        ({"command": [" "]}, "command: the first element is the program to run and must not be empty"),
        ({"command": ["sleep", 5]}, "command.1: 5 is no text: put it in quotes"),
        (
            {"command": ["a", "x\0"]},
            r"command: 'x\x00' holds a NUL character, which no program can be given: remove it",
        ),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration: write it like 30s, 10m or 1h30m"),
        ({"timeout": True}, "timeout: True is not a duration: write it like 30s, 10m or 1h30m"),
        (
            {"kill": {"signal": "SIGFOO"}},
            "kill.signal: 'SIGFOO' is not a signal: use a name like SIGTERM or SIGINT",
        ),
        ({"kill": "SIGTERM"}, "kill: 'SIGTERM' is no object: write it as lines of name: value"),
        ({"limits": {"memory": "lots"}}, "limits.memory: 'lots' is not a size: write it like 512MB or 2GiB"),
        ({"limits": {"cpus": 0}}, "limits.cpus: 0 is not possible: write more than 0.0"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts: 0 is not possible: write at least 1"),
        (
            {"retry": {"on": ["boom"]}},
            "retry.on.0: 'boom' is not possible: write 'failed', 'stuck', 'timed_out' or 'lost'",
        ),
        (
            {"stuck": {"silent": "soon"}},
            "stuck.silent: 'soon' is not a duration: write it like 30s, 10m or 1h30m",
        ),
        ({"stuck": {"looping": "x"}}, "stuck.looping: 'x' is no whole number"),
        ({"sdk": "maybe"}, "sdk: 'maybe' is neither true nor false"),
        ({"env": {"A B": "x"}}, "env: 'A B' cannot name an environment variable: use letters, digits and _"),
        ({"env": {"A": 1}}, "env.A: the value is no text: put it in quotes"),
        (
            {"env": {"RUNPLANE_DIR": "x"}},
            "env: 'RUNPLANE_DIR' is set by the agent: choose a name without RUNPLANE_",
        ),
        (
            {"env": {"A": "secret:a b"}},
            "env: 'A' is no reference to a secret: write secret:NAME and nothing else",
        ),
        (
            {"recovery": {"chain": [{"do": "explode"}]}},
            (
                "recovery.chain.0.do: 'explode' is not possible: write 'retry', 'resume', 'restart', 'run', "
                "'escalate' or 'give_up'"
            ),
        ),
        (
            {"recovery": {"chain": [{"do": "run"}]}},
            "recovery.chain.0: `do: run` starts a workflow: name it, as in {do: run, workflow: cleanup}",
        ),
        (
            {"recovery": {"chain": [{"do": "retry", "workflow": "w"}]}},
            "recovery.chain.0: `do: retry` starts no workflow: take `workflow: w` away",
        ),
        (
            {"recovery": {"chain": [{"do": "escalate"}, {"do": "retry"}]}},
            "recovery: chain.0 (escalate) ends the chain: nothing can come after it",
        ),
        (
            {"recovery": {"chain": [{"do": "run", "workflow": "w"}, {"do": "retry"}]}},
            "recovery: chain.1 (retry) would never be reached: attempts come before `run`",
        ),
        (
            {"recovery": {"chain": [{"do": "retry"}], "on_failure": "w"}},
            "recovery: on_failure and chain are both given: put {do: run, workflow: w} at the chain's end",
        ),
        (
            {"concurrency": {"key": "{nobody}"}},
            (
                "concurrency.key uses {nobody}, which is no parameter (there are: none): add nobody to "
                "params.properties or correct the name"
            ),
        ),
        (
            {"params": {"properties": ["epic"]}},
            "params.properties must be an object that names the parameters",
        ),
    ],
)
def test_an_objection_names_field_value_and_what_to_do(fields: dict[str, Any], said: str) -> None:
    assert problems(**fields) == [said]


def test_a_name_that_cannot_be_one_says_how_names_look() -> None:
    (said,) = problems(name="My Workflow")

    assert said.startswith("name: 'My Workflow' cannot be a name: use lower-case letters")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert len(problems(timout=1, kill={"grace": "x"}, sdk="maybe")) == 3


def test_a_place_that_is_no_parameter_is_a_mistake() -> None:
    (said,) = problems(params=PARAMS, command=["a", "{epik}"])

    assert said == (
        "command uses {epik}, which is no parameter (there are: epic, token): "
        "add epik to params.properties or correct the name"
    )


def test_a_secret_never_goes_into_the_command_line() -> None:
    (said,) = problems(params=PARAMS, command=["a", "--token={token}"])

    assert said == (
        "command uses the secret parameter {token}: a command line is readable by everyone on the machine, "
        "so hand it over in env instead"
    )


def test_a_secret_parameter_has_a_variable_of_its_own() -> None:
    (said,) = problems(params=PARAMS, env={"AUTH": "Bearer {token}"})

    assert said.startswith("env.AUTH mixes the secret parameter {token} with other text")


def test_no_value_of_the_environment_is_repeated() -> None:
    said = problems(env={"A": "secret:hunter2 and more", "B": ["hunter2"], "C": {"x": "hunter2"}})

    assert said
    assert "hunter2" not in " ".join(said)


@given(json_values)
def test_any_document_is_explained(raw: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkflowDefinition.model_validate(raw)

    assert all(problem.message for problem in explain(caught.value, WorkflowDefinition))


@given(json_values)
def test_any_value_of_any_field_is_explained(value: Any) -> None:
    for name in WorkflowDefinition.model_fields:
        assert all(len(said) < 1000 for said in problems(**{name: value}))
