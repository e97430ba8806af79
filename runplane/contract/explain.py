"""What is wrong with a document that a person wrote: field, value, and what to write instead.

Values of ``env`` and defaults of parameters are never repeated: somebody may have put a secret there.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

_LONGEST_VALUE = 80
_BRANCH = re.compile(r"(function|literal|constrained|lax-or-strict|nullable)[-\[]")
"""How pydantic marks the branch of a union in a path; a person has not written it."""
_UNSHOWN = frozenset({"env", "params"})
_WHAT_TO_WRITE = {
    "tuple_type": "is no list: write it like [one, two]",
    "dict_type": "is no object: write it as lines of name: value",
    "model_type": "is no object: write it as lines of name: value",
    "string_type": "is no text: put it in quotes",
    "int_type": "is no whole number",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "float_type": "is no number",
    "float_parsing": "is no number",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "string_pattern_mismatch": "cannot be a name: use lower-case letters, digits and -, at most 63, "
    "beginning and ending with a letter or a digit",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong: the field's path (empty for the whole document), and a sentence."""

    field: str
    message: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """Field and sentence in one line."""
        return f"{self.field}: {self.message}" if self.field else self.message


def explain(error: ValidationError, model: type[BaseModel], limit: int = 20) -> tuple[Problem, ...]:
    """The problems of a document that is no ``model``, one a field, at most ``limit``."""
    problems: dict[str, Problem] = {}
    for one in error.errors(include_url=False):
        path = tuple(part for part in one["loc"] if not _BRANCH.match(str(part)))
        names = tuple(str(part) for part in path)
        field = ".".join(names)[:200]
        if field not in problems:  # the first branch of a union is the one that is meant for people
            problems[field] = Problem(field=field, message=_message(one, names, model), path=path)
    return tuple(problems.values())[:limit]


def _message(one: Mapping[str, Any], path: tuple[str, ...], model: type[BaseModel]) -> str:
    kind, value = one["type"], one["input"]
    context = one.get("ctx", {})
    shown = "the value" if path and path[0] in _UNSHOWN else _shown(value)
    match kind:
        case "extra_forbidden":
            return _no_such_field(path, model)
        case "missing":
            return "is missing: add it"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{shown} is not possible: write {context['expected']}"
        case "too_short":
            return "is empty: at least one element is needed"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            than = {"greater_than": "more than", "greater_than_equal": "at least"}
            than |= {"less_than": "less than", "less_than_equal": "at most"}
            limit = next(limit for name, limit in context.items() if name in {"gt", "ge", "lt", "le"})
            return f"{shown} is not possible: write {than[kind]} {limit}"
        case _ if kind in _WHAT_TO_WRITE:
            return f"{shown} {_WHAT_TO_WRITE[kind]}"
        case _:
            return f"{shown}: {one['msg']}"


def _no_such_field(path: tuple[str, ...], model: type[BaseModel]) -> str:
    owner = model
    for part in path[:-1]:
        inner = owner.model_fields[part].annotation if part in owner.model_fields else None
        owner = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else owner
    names = [field.alias or name for name, field in owner.model_fields.items()]
    close = difflib.get_close_matches(path[-1], names, n=1)
    if close:
        return f"there is no such field: did you mean {close[0]}?"
    return f"there is no such field: remove it (there are: {', '.join(names)})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
