"""One line of reports.jsonl: a JSON object of at most 64 KiB, whatever a workflow hands over.

What is only shown (inputs, variables) is made readable when it is not JSON. What a later attempt relies on (a step's
result) is exact, or replaced by a marker that says why it is not there: ``{"$truncated": true, "bytes": N}`` or
``{"$not_json": "TYPE"}``.
"""

from __future__ import annotations

import json
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LINE_LIMIT = 65_536
"""Bytes of one line, its newline included."""

SPILL_LIMIT = 16 << 20
"""Bytes of one value that is put into a file of its own; a larger one is not kept."""

NAME_LIMIT = 200
TEXT_LIMIT = 4096

_DIVISIBLE = ("held", "inputs", "variables")
_MARKERS = ("$truncated", "$not_json", "$file", "$object")
_MARKER_BYTES = 60
_SECRET_WORDS = ("secret", "token", "password", "passwd", "api_key", "apikey", "credential", "authorization")

encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def line(body: dict[str, object], spill: Callable[[bytes], bytes | None] | None = None) -> bytes:
    """The report as one line, stamped with the wall clock in seconds. Never raises.

    ``spill`` puts a step's input or result that is too large elsewhere, and gives back the marker for it.
    """
    body = {"t": time.time(), **body}
    try:
        whole = encode(body).encode() + b"\n"
    except Exception:  # noqa: BLE001 - a foreign object may raise anything; its part is replaced below
        whole = b""
    return whole if 0 < len(whole) <= LINE_LIMIT else _fit(body, LINE_LIMIT - 1, spill) + b"\n"


def part(value: object, *, exact: bool = False) -> bytes:
    """One value as JSON: readable, or with ``exact`` the value itself or a marker. Never raises."""
    try:
        return encode(value).encode()
    except Exception:  # noqa: BLE001 - as above
        return encode({"$not_json": type(value).__name__} if exact else _plain(value)).encode()


def is_marker(result: object) -> bool:
    """Whether a recorded result says that the real one was not recorded."""
    return isinstance(result, dict) and any(marker in result for marker in _MARKERS)


def shown(values: dict[str, object]) -> dict[str, object]:
    """Values as they may be seen: text under a name that speaks of a secret is not."""
    return {
        name: "***"
        if isinstance(value, (str, bytes)) and any(word in name.lower() for word in _SECRET_WORDS)
        else value
        for name, value in values.items()
    }


def _plain(value: object, depth: int = 5) -> object:
    """Anything as JSON that a person can read; bounded in depth and width."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1e300:  # noqa: PLR2004 - neither NaN nor endless digits
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    try:
        if depth and isinstance(value, dict):
            return {str(_plain(name, 0)): _plain(item, depth - 1) for name, item in list(value.items())[:100]}
        if depth and isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(item, depth - 1) for item in list(value)[:100]]
        return repr(value)[:NAME_LIMIT].encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(value).__name__}>"


def _fit(
    fields: dict[str, object],
    room: int,
    spill: Callable[[bytes], bytes | None] | None = None,
    *,
    within: bool = False,
) -> bytes:
    """An object in at most ``room`` bytes: the widest values give way to markers, one after the other."""
    names = {name: part(name) for name in fields}
    parts = {name: part(value, exact=name == "result") for name, value in fields.items()}
    while True:
        size = 2 + sum(len(names[name]) + len(value) + 2 for name, value in parts.items())
        if size <= room:
            return b"{" + b",".join(names[name] + b":" + value for name, value in parts.items()) + b"}"
        widest = max(parts, key=lambda name: len(parts[name]))
        width = len(parts[widest])
        if width <= _MARKER_BYTES:  # there are too many values, not too wide ones
            return _truncated(size)
        rest, value = width - (size - room), fields[widest]
        if rest <= 2 * _MARKER_BYTES:  # another one is too wide as well, and gives way next
            rest = min(room // 4, width // 2)
        moved = spill(parts[widest]) if spill is not None and (within or widest == "result") else None
        if moved is not None:
            parts[widest] = moved
        elif widest in _DIVISIBLE and isinstance(value, dict) and rest > 2 * _MARKER_BYTES:
            parts[widest] = _fit(value, rest, spill if widest == "inputs" else None, within=True)
        else:
            parts[widest] = _truncated(width)


def _truncated(size: int) -> bytes:
    return b'{"$truncated":true,"bytes":%d}' % size
