"""Parameters of a run from the command line: ``-p KEY=VALUE`` and ``--params FILE``.

A value is text unless the workflow's JSON Schema declares another type for the parameter: then it is read as that.
Whether it is allowed is the control plane's decision; here it is only read.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runplane.cli.problem import Exit, Problem
from runplane.contract.workflow import WorkflowDefinition

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EXAMPLES = {
    "number": "1.5",
    "integer": "3",
    "boolean": "true or false",
    "array": '\'["a", "b"]\'',
    "object": "'{\"a\": 1}'",
    "null": "null",
}


def read_parameters(
    pairs: Sequence[str], file: str | None, definition: WorkflowDefinition | None
) -> dict[str, Any]:
    """All parameters; those of ``-p`` win over those of the file. A ``Problem`` names the one that cannot be read."""
    params = _of_file(file) if file else {}
    for pair in pairs:
        name, is_given, text = pair.partition("=")
        if not is_given or not name:
            raise Problem(
                f"-p {pair!r}: a parameter is given as KEY=VALUE",
                hint="for example: -p epic=NMSTX-187",
                exit_code=Exit.USAGE,
            )
        params[name] = read_value(name, text, _schema_of(definition, name))
    return params


def read_value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    """The text as the first of the schema's types that it can be; as it is where the schema says nothing."""
    types = _types_of(schema)
    if not types or "string" in types:
        return text
    for kind in types:
        try:
            return _as_type(text, kind)
        except ValueError:
            continue
    wanted = " or ".join(types)
    examples = ", ".join(f"{name}={_EXAMPLES[kind]}" for kind in types if kind in _EXAMPLES)
    # The value is not repeated: it may be a secret that was given under the wrong name.
    raise Problem(
        f"-p {name}: the value is no {wanted}, which is what the workflow declares",
        hint=f"for example: -p {examples}" if examples else "",
        exit_code=Exit.USAGE,
    )


def _types_of(schema: Mapping[str, Any]) -> list[str]:
    if "type" in schema:
        declared = schema["type"]
        return [declared] if isinstance(declared, str) else [str(kind) for kind in declared]
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return list(dict.fromkeys(_type_of(value) for value in values))
    choices = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    return [kind for choice in choices if isinstance(choice, dict) for kind in _types_of(choice)]


def _type_of(value: Any) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"),
    )  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _as_type(text: str, kind: str) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "number":
            number = float(text)
            if number - number != 0:
                raise ValueError(text)
            return int(text) if text.strip().lstrip("+-").isdigit() else number
        case "boolean":
            if text.lower() not in _BOOLEANS:
                raise ValueError(text)
            return _BOOLEANS[text.lower()]
        case "array" | "object" | "null":
            value = json.loads(text)
            if _type_of(value) != kind:
                raise ValueError(text)
            return value
        case _:
            return text


def _schema_of(definition: WorkflowDefinition | None, name: str) -> Mapping[str, Any]:
    properties = definition.params.get("properties", {}) if definition is not None else {}
    schema = properties.get(name)
    return schema if isinstance(schema, dict) else {}


def _of_file(file: str) -> dict[str, Any]:
    import yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        found = yaml.safe_load(text)  # JSON is YAML
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"--params {file}: {error}", exit_code=Exit.USAGE) from None
    except yaml.YAMLError as error:
        raise Problem(f"--params {file}: neither JSON nor YAML: {error}", exit_code=Exit.USAGE) from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise Problem(
            f"--params {file}: this is a {type(found).__name__}, not an object that names parameters",
            hint='it looks like this: {"epic": "NMSTX-187"}',
            exit_code=Exit.USAGE,
        )
    return found
