"""The workflow files of a directory, registered when the control plane starts.

A workflow file is a ``*.yaml`` in the directory or a ``workflow.yaml`` one level below it that has the keys ``name``
and ``command``. A bad file is reported with its field and value, and keeps none of the others from being registered.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from control_plane.command_side import CommandSide
from runplane.contract.errors import InvalidInput, RunplaneError
from runplane.contract.run import Actor
from runplane.contract.workflow import WorkflowDefinition

log = logging.getLogger("control_plane.workflow_files")

ACTOR = Actor(principal="workflows-directory", surface="policy")
MAX_FILE_BYTES = 1024 * 1024
_SHOWN = 80
_NO_PATH = frozenset({"temporary", "kept"})


async def register(command_side: CommandSide, directory: Path) -> tuple[int, int]:
    """Register every workflow file of the directory; returns how many stand now, and how many files are bad."""
    good = bad = 0
    for path in find(directory):
        try:
            definition = load(path)
            if definition is None:
                continue
            applied = await command_side.apply_workflow(definition, ACTOR)
        except RunplaneError as error:
            bad += 1
            log.error("workflow file %s is not registered: %s", path, error.message)  # noqa: TRY400 — a person's mistake
            continue
        good += 1
        if applied.changed:
            log.info("workflow %s is at version %d now, from %s", applied.name, applied.version, path)
    log.info("%d workflows of %s stand%s", good, directory, f", {bad} files are bad" if bad else "")
    return good, bad


def find(directory: Path) -> list[Path]:
    """The candidates, in order of their names; an unreadable directory is reported and has none."""
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        log.error("the workflows in %s cannot be read: %s", directory, error.strerror)  # noqa: TRY400
        return []
    here = [entry for entry in entries if entry.suffix in (".yaml", ".yml") and entry.is_file()]
    below = [entry / "workflow.yaml" for entry in entries if entry.is_dir()]
    return here + [path for path in below if path.is_file()]


def load(path: Path) -> WorkflowDefinition | None:
    """Read one file; None where it is YAML of another kind. InvalidInput names field, value and what to do."""
    document = _document(path)
    if not isinstance(document, dict) or not {"name", "command"} <= document.keys():
        return None
    try:
        definition = WorkflowDefinition.model_validate(document)
    except ValidationError as error:
        raise InvalidInput("; ".join(_problems(error)), field="workflow") from None
    if definition.workspace in _NO_PATH:
        return definition
    workspace = (path.absolute().parent / Path(definition.workspace).expanduser()).resolve()
    return definition.model_copy(update={"workspace": str(workspace)})


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput(
                f"it has more than {MAX_FILE_BYTES} bytes: a workflow file holds a definition, not data"
            )
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"it is not YAML: {' '.join(str(error).split())[:300]}") from None


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False)[:10]:
        place = ".".join(str(part) for part in problem["loc"]) or "file"
        message = problem["msg"].removeprefix("Value error, ")
        shown = "" if place.startswith("env") or problem["type"] == "missing" else _shown(problem["input"])
        yield f"{place}{shown}: {message}"


def _shown(value: Any) -> str:
    text = repr(value)
    return f"={text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
