"""Parameters of a run: checked against the workflow's JSON Schema (draft 2020-12), defaults filled in.

- A parameter that the schema does not name is refused, unless the schema itself says what further ones may be.
- A secret parameter takes only a reference, ``secret:NAME``. Its value is never repeated, not even in an error,
  and neither is the value of a parameter that nobody knows: it may be a secret under a mistyped name.
- References in a schema stay inside it: nothing is fetched.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from runplane.contract.errors import InvalidInput
from runplane.contract.workflow import WorkflowDefinition

SECRET_REFERENCE = re.compile(r"secret:[A-Za-z_][A-Za-z0-9_.-]{0,127}")
MAX_ERRORS = 20
MAX_DEPTH = 40
"""Objects and arrays inside one another; every part that handles a record takes twice as many."""
_LARGEST_INTEGER = 2**1023
_SHOWN_CHARACTERS = 80
_DATA = frozenset({"default", "const", "enum", "examples"})
"""Keywords of a schema that hold values, not schemas."""
_NOTHING_OUTSIDE: Registry[Any] = Registry()


def shortened(value: Any) -> str:
    """A value as an error may show it: JSON, at most 80 characters."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def problem(field: str, message: str, value: str | None = None) -> dict[str, str | None]:
    """One entry of an error's ``errors``."""
    return {"field": field, "value": value, "message": message}


def refuse(errors: list[dict[str, str | None]], *, code: str = "") -> InvalidInput:
    """The error that names every field that cannot be used."""
    shown = errors[:MAX_ERRORS]
    more = f" (and {len(errors) - len(shown)} more)" if len(errors) > len(shown) else ""
    return InvalidInput("; ".join(str(one["message"]) for one in shown) + more, code=code, errors=shown)


def check_schema(definition: WorkflowDefinition) -> None:
    """Check what a definition says of its parameters; raise :class:`InvalidInput` for what could never be used."""
    schema = definition.params
    check_json("params", schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        field = _path("params", error.absolute_path)
        raise refuse([problem(field, f"{field}: {error.message[:300]}", shortened(error.instance))]) from None
    except RecursionError:
        raise refuse([problem("params", "params: nested too deeply to be checked")]) from None
    if schema.get("type", "object") != "object":
        shown = shortened(schema["type"])
        raise refuse([problem("params.type", f"params.type is {shown}: parameters are an object", shown)])
    for place, reference in _references(schema, "params"):
        if not reference.startswith("#"):
            raise refuse(
                [
                    problem(
                        place,
                        f"{place}: {reference[:80]!r} leads outside: only #/... is followed",
                        reference[:80],
                    )
                ]
            )
    _check_defaults(definition)


def check_parameters(definition: WorkflowDefinition, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The parameters of a run, with defaults filled in; :class:`InvalidInput` names every one that is wrong."""
    properties: dict[str, Any] = definition.params.get("properties", {})
    for name, value in given.items():
        check_json(f"params.{name[:80]}", value)
    errors = [*_unknown(definition, given), *_plain_secrets(definition, given)]
    if errors:
        raise refuse(errors, code="invalid_parameters")
    filled = {
        **{name: schema["default"] for name, schema in properties.items() if _has_default(schema)},
        **given,
    }
    errors = list(_violations(definition, filled))
    if errors:
        raise refuse(errors, code="invalid_parameters")
    return filled


def check_json(field: str, value: Any) -> None:
    """Raise :class:`InvalidInput` for what is not JSON, or cannot be handed on by every part: NaN, or too deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for one in level:
            if isinstance(one, float) and not math.isfinite(one):
                raise refuse([problem(field, f"{field} holds {one}, which is not JSON")])
            if isinstance(one, int) and abs(one) > _LARGEST_INTEGER:
                raise refuse([problem(field, f"{field} holds an integer of more than 1023 bits")])
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise refuse([problem(field, f"{field} is nested deeper than {MAX_DEPTH} levels: make it flatter")])


def _has_default(schema: Any) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _unknown(definition: WorkflowDefinition, given: dict[str, JsonValue]) -> list[dict[str, str | None]]:
    schema = definition.params
    if schema.get("additionalProperties", False) is not False:
        return []
    properties = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    known = ", ".join(sorted(properties)) or "none"
    return [
        problem(
            f"params.{name[:80]}",
            f"params.{name[:80]} is no parameter of {definition.name} (there are: {known})",
        )
        for name in given
        if name not in properties and not any(re.search(pattern, name) for pattern in patterns)
    ]


def _plain_secrets(
    definition: WorkflowDefinition, given: dict[str, JsonValue]
) -> list[dict[str, str | None]]:
    return [
        problem(
            f"params.{name}",
            f"params.{name} is secret and takes only a reference like secret:NAME, which the agent resolves; "
            f"the value given was not stored",
        )
        for name in sorted(definition.secret_params & given.keys())
        if not (isinstance(given[name], str) and SECRET_REFERENCE.fullmatch(str(given[name])))
    ]


def _violations(
    definition: WorkflowDefinition, params: dict[str, JsonValue]
) -> Iterator[dict[str, str | None]]:
    secret = definition.secret_params
    schema = dict(definition.params)
    if secret:
        # What the schema says of a secret holds for its value, which nobody here knows.
        schema["properties"] = {**schema.get("properties", {}), **dict.fromkeys(secret, True)}
    validator = Draft202012Validator(
        schema, registry=_NOTHING_OUTSIDE, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    try:
        for error in validator.iter_errors(params):
            yield _violation(error, secret)
    except Unresolvable as error:
        yield problem(
            "params", f"params: the workflow's schema refers to something that is not in it: {error}"[:300]
        )
    except RecursionError:
        yield problem("params", "params: nested too deeply to be checked")


def _violation(error: ValidationError, secret: frozenset[str]) -> dict[str, str | None]:
    field = _path("params", error.absolute_path)
    if (
        error.validator == "required"
        and isinstance(error.validator_value, list)
        and isinstance(error.instance, dict)
    ):
        missing = [name for name in error.validator_value if name not in error.instance]
        names = ", ".join(f"{field}.{name}" for name in missing)
        return problem(
            f"{field}.{missing[0]}" if missing else field, f"{names} is required and was not given"
        )
    if not error.absolute_path:
        rule = "" if secret else f" {shortened(error.validator_value)}"
        return problem(field, f"{field}: the parameters together do not satisfy {error.validator}{rule}")
    value = shortened(error.instance)
    return problem(
        field, f"{field} is {value}: allowed is {error.validator} {shortened(error.validator_value)}", value
    )


def _check_defaults(definition: WorkflowDefinition) -> None:
    for name, schema in definition.params.get("properties", {}).items():
        if not _has_default(schema):
            continue
        if name in definition.secret_params:
            raise refuse(
                [
                    problem(
                        f"params.properties.{name}",
                        f"params.properties.{name}: a secret parameter has no default",
                    )
                ]
            )
        only = {**definition.params, "required": []}
        sole = definition.model_copy(update={"params": only})
        wrong = [
            one
            for one in _violations(sole, {name: schema["default"]})
            if str(one["field"]).startswith(f"params.{name}")
        ]
        if wrong:
            raise refuse(
                [
                    problem(
                        f"params.properties.{name}.default",
                        f"the default does not fit: {wrong[0]['message']}",
                    )
                ]
            )


def _references(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    stack = [(place, schema)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            for name in ("$ref", "$dynamicRef"):
                if isinstance(value.get(name), str):
                    yield f"{where}.{name}", value[name]
            stack.extend((f"{where}.{name}", inner) for name, inner in value.items() if name not in _DATA)
        elif isinstance(value, list):
            stack.extend((f"{where}[{index}]", inner) for index, inner in enumerate(value))


def _path(root: str, parts: Any) -> str:
    path = root
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path[:300]
