import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from runplane.cli.problem import Exit, Problem
from runplane.cli.workflow_file import read_workflow
from runplane.cli.workflow_schema import workflow_schema

GOOD = """\
name: lina
command: [python, lina.py, --epic, "{epic}"]
params:
  type: object
  properties: {epic: {type: string}}
workspace: work
timeout: 30m
kill: {signal: SIGTERM, grace: 10s}
limits: {memory: 2GiB, cpus: 1.5}
stuck: {silent: 5m, looping: 50, action: notify}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "workflow.yaml"
    path.write_text(text)
    return path


def refusal(directory: Path, text: str) -> str:
    path = write(directory, text)
    with pytest.raises(Problem) as raised:
        read_workflow(path)
    assert raised.value.exit_code is Exit.USAGE
    return raised.value.message.replace(str(path), "FILE")


def test_the_workspace_is_seen_from_the_file(tmp_path: Path) -> None:
    definition = read_workflow(write(tmp_path, GOOD))
    assert definition.workspace == str(tmp_path.resolve() / "work")
    assert (definition.timeout, definition.kill.grace, definition.limits.memory) == (1800.0, 10.0, 2 * 2**30)


@pytest.mark.parametrize("workspace", ["temporary", "kept", "/srv/lina"])
def test_other_workspaces_stay_as_they_are(tmp_path: Path, workspace: str) -> None:
    text = GOOD.replace("workspace: work", f"workspace: {workspace}")
    assert read_workflow(write(tmp_path, text)).workspace == workspace


def test_an_error_names_line_field_value_and_what_to_do(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD.replace("grace: 10s", "grace: 10 parsecs"))
    assert message.startswith("FILE:8: kill.grace: '10 parsecs' is not a duration: write it like 30s")


def test_every_error_is_told(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD.replace("name: lina", "nane: lina").replace("cpus: 1.5", "cpus: -1"))
    lines = [line.strip() for line in message.splitlines()]
    assert "FILE:1: name: is missing: add it" in lines
    assert "FILE:1: nane: there is no such field: did you mean name?" in lines
    assert any(line.startswith("FILE:9: limits.cpus: -1 is not possible") for line in lines)


def test_an_unknown_placeholder_says_what_there_is(tmp_path: Path) -> None:
    assert "command uses {epci}" in refusal(tmp_path, GOOD.replace("{epic}", "{epci}"))


def test_the_value_of_an_environment_variable_is_not_repeated(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD + "env: {TOKEN: [hunter2]}\n")
    assert "env.TOKEN" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FILE:1: the file is empty"),
        ("- a\n- b\n", "FILE:1: this is no workflow file"),
        ("name: a\nname: b\n", "FILE:2: name is there twice"),
        ("name: [a\n", "FILE:2: not YAML"),
        ("name: !!python/object/apply:os.system [true]\n", "FILE:1: not YAML"),
    ],
)
def test_what_is_no_workflow_file(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="there is no file"):
        read_workflow(tmp_path / "nowhere.yaml")


def test_the_examples_are_valid() -> None:
    examples = sorted((Path(__file__).parents[4] / "examples").glob("*/workflow.yaml"))
    assert len(examples) >= 3
    for path in examples:
        assert read_workflow(path).workspace == str(path.parent)


def test_the_schema_takes_what_the_contract_takes() -> None:
    schema = json.loads(json.dumps(workflow_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(GOOD))
    for path in (Path(__file__).parents[4] / "examples").glob("*/workflow.yaml"):
        validator.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "wrong", ["timeout: 10 parsecs", "limits: {memory: big}", "nosuch: 1", "command: python"]
)
def test_the_schema_refuses_what_the_contract_refuses(wrong: str) -> None:
    document = {**yaml.safe_load(GOOD), **yaml.safe_load(wrong)}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, workflow_schema())
