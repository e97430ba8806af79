"""Workflow files: read, checked against the contract, every error with its line, field, value and what to do.

A relative ``workspace`` is seen from the file's directory. Nothing of the system is needed to check a file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runplane.cli.problem import Exit, Problem
from runplane.cli.terminal import one_line
from runplane.contract.explain import explain
from runplane.contract.workflow import WorkflowDefinition

if TYPE_CHECKING:
    from yaml import Node

MAX_BYTES = 1024 * 1024
MAX_ERRORS = 20
_FRESH = frozenset({"temporary", "kept"})


def read_workflow(path: Path) -> WorkflowDefinition:
    """The definition, as it is registered; a ``Problem`` names everything that cannot be used."""
    root, document = _parsed(path)
    if not isinstance(document, dict):
        raise _refused(path, ["1: this is no workflow file: it begins with `name: …` and `command: […]`"])
    try:
        definition = WorkflowDefinition.model_validate(document)
    except ValidationError as error:
        found = explain(error, WorkflowDefinition, MAX_ERRORS)
        raise _refused(path, [f"{_line_of(root, one.path)}: {one}" for one in found]) from None
    if definition.workspace in _FRESH:
        return definition
    workspace = (path.absolute().parent / Path(definition.workspace).expanduser()).resolve()
    return definition.model_copy(update={"workspace": str(workspace)})


def _parsed(path: Path) -> tuple["Node", Any]:
    import yaml

    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refused(
                path, [f"1: more than {MAX_BYTES} bytes: a workflow file holds a definition, not data"]
            )
        text = path.read_text()
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            raise _refused(path, ["1: the file is empty: it begins with `name: …` and `command: […]`"])
        doubled = [f"{line}: {name} is there twice: remove one" for name, line in _doubled(root)]
        if doubled:
            raise _refused(path, doubled)
        return root, yaml.safe_load(text)
    except FileNotFoundError:
        raise Problem(f"there is no file {path}", exit_code=Exit.USAGE, code="no_such_file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} cannot be read: {error}", exit_code=Exit.USAGE) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise _refused(path, [f"{line}: not YAML: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refused(path, [f"1: not YAML: {one_line(error)}"]) from None


def _refused(path: Path, found: Sequence[str]) -> Problem:
    """Each entry of ``found`` begins with its line."""
    return Problem(
        "\n          ".join(f"{path}:{line}" for line in found),
        hint="`runplane workflows schema` prints what may stand in a workflow file",
        exit_code=Exit.USAGE,
        code="invalid_workflow",
    )


def _line_of(root: "Node", location: Sequence[str | int]) -> int:
    """The line of the innermost part of the location that stands in the file, counted from one."""
    import yaml

    node, line = root, root.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            inner = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if inner is None:
                return line
            line, node = inner[0].start_mark.line + 1, inner[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _doubled(node: "Node") -> Iterator[tuple[str, int]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            yield from _doubled(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _doubled(value)
