"""What differs between two JSON documents, field by field."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Change(NamedTuple):
    """One field (``progress.done``, ``conditions.0.detail``) and its two values; None where there is none."""

    field: str
    before: Any
    after: Any


def differences(before: Any, after: Any, field: str = "") -> Iterator[Change]:
    """Every field that differs; objects and lists are looked into where both sides have one."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from differences(before.get(name), after.get(name), _under(field, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, _under(field, str(index)))
    elif before != after:
        yield Change(field or "value", before, after)


def _under(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name
