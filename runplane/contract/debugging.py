"""What a held run shows of itself: scopes of variables, and the calls that led to where it stands."""

import json

from pydantic import JsonValue

from runplane.contract.value import Value

INPUTS = "inputs"
VARIABLES = "variables"
LOCALS = "locals"


class Variable(Value):
    """A variable. ``value``: what it holds, as JSON or as its program writes it; ``type``: as its program calls it.

    ``truncated``: this is only the beginning of it; ``bytes``: how long the whole of it is, as JSON.
    """

    name: str
    type: str
    value: JsonValue = None
    truncated: bool = False
    bytes: int | None = None


class Scope(Value):
    """Variables that belong together: ``inputs`` of a step, ``variables`` of the workflow, ``locals`` of a frame."""

    name: str
    variables: tuple[Variable, ...] = ()

    def variable(self, name: str) -> Variable | None:
        """The variable of that name."""
        return next((one for one in self.variables if one.name == name), None)


class SourceLine(Value):
    """One line of a program's text, numbered from 1."""

    number: int
    text: str


class Frame(Value):
    """One call that is under way, the innermost first. ``source``: the lines around the one it stands at."""

    function: str
    file: str
    line: int
    source: tuple[SourceLine, ...] = ()


class Variables(Value):
    """What can be seen of a run's variables, and where it is held (None: it goes on, and this is what it last told)."""

    held_at: str | None = None
    scopes: tuple[Scope, ...] = ()
    stack: tuple[Frame, ...] = ()


def scope_of(name: str, values: dict[str, JsonValue]) -> Scope:
    """A scope of JSON values."""
    return Scope(
        name=name,
        variables=tuple(_variable(key, value) for key, value in values.items()),
    )


def _variable(name: str, value: JsonValue) -> Variable:
    """A value, or the marker that stands for one which was too long to be reported."""
    if isinstance(value, dict) and value.get("$truncated") is True:
        size = value.get("bytes")
        return Variable(
            name=name, type="unknown", truncated=True, bytes=size if isinstance(size, int) else None
        )
    return Variable(name=name, type=type_of(value), value=value)


def type_of(value: JsonValue) -> str:
    """The type of a value, as JSON calls it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def shown_value(variable: Variable) -> str:
    """The value for people: as JSON, or as the program writes it where it is nothing that JSON has."""
    if isinstance(variable.value, str) and variable.type not in ("string", "str"):
        return variable.value
    return json.dumps(variable.value, ensure_ascii=False)


def cut(value: JsonValue, most_bytes: int) -> tuple[JsonValue, int | None]:
    """The value, or the beginning of it that takes about so many bytes as JSON; then how many the whole takes."""
    size = _size(value)
    return (value, None) if size <= most_bytes else (_beginning(value, most_bytes), size)


def shortened(variable: Variable, most_bytes: int) -> Variable:
    """The variable with at most the beginning of its value."""
    value, size = cut(variable.value, most_bytes)
    if size is None:
        return variable
    return variable.model_copy(update={"value": value, "truncated": True, "bytes": variable.bytes or size})


def fitted(scopes: tuple[Scope, ...], most_bytes: int) -> tuple[Scope, ...]:
    """The scopes in about so many bytes: the longest values give way to their beginnings."""
    room = most_bytes
    while sum(len(scope.model_dump_json()) for scope in scopes) > most_bytes and room > _LEAST_BYTES:
        room //= 4
        scopes = tuple(
            scope.model_copy(update={"variables": tuple(shortened(one, room) for one in scope.variables)})
            for scope in scopes
        )
    most = max(1, most_bytes // (4 * _LEAST_BYTES))
    return tuple(scope.model_copy(update={"variables": scope.variables[:most]}) for scope in scopes)


_LEAST_BYTES = 64


def _size(value: JsonValue) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _beginning(value: JsonValue, room: int) -> JsonValue:
    if isinstance(value, str):
        return value[: max(0, room - 2)]
    if isinstance(value, list):
        items: list[JsonValue] = []
        for item in value:
            if room <= 0:
                break
            items.append(item if _size(item) <= room else _beginning(item, room))
            room -= _size(items[-1]) + 1
        return items
    if isinstance(value, dict):
        members: dict[str, JsonValue] = {}
        for name, item in value.items():
            room -= len(name) + 4
            if room <= 0:
                break
            members[name] = item if _size(item) <= room else _beginning(item, room)
            room -= _size(members[name])
        return members
    return value
