"""Durations and sizes as people write them: ``30s``, ``1h30m``, ``250ms``, ``2GiB``, ``512MB``.

A bare number is seconds, or bytes. Durations become seconds (float), sizes become bytes (int).
"""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20,
    "GB": 10**9, "GiB": 2**30, "TB": 10**12, "TiB": 2**40,
}  # fmt: skip
_LONGEST_SECONDS = 366 * 86400
_LARGEST_BYTES = 2**60
_LONGEST_TEXT = 40  # longer than any value that means something, short enough for exact arithmetic
_STEP = 1024
_SHOWN_UNITS = ("KiB", "MiB", "GiB", "TiB")
_TENTHS_BELOW = 10


def parse_duration(value: Any) -> float:
    """Turn ``30s`` or a number of seconds into seconds; ValueError says what a duration looks like."""
    if isinstance(value, str):
        seconds = _seconds(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        seconds = None
    if seconds is None:
        raise ValueError(f"{_shown(value)} is not a duration: write it like 30s, 10m or 1h30m")
    if not 0 <= seconds <= _LONGEST_SECONDS:  # false for NaN as well
        raise ValueError(f"{_shown(value)} is not a duration between 0s and 366d: write it like 30s or 1h30m")
    return float(seconds)


def parse_size(value: Any) -> int:
    """Turn ``2GiB`` or a number of bytes into bytes; ValueError says what a size looks like."""
    if isinstance(value, str):
        size = _bytes(value.strip())
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        size = None
    if size is None:
        raise ValueError(f"{_shown(value)} is not a size: write it like 512MB or 2GiB")
    if not 0 <= size <= _LARGEST_BYTES:
        raise ValueError(f"{_shown(value)} is not a size between 0 and 1 EiB: write it like 512MB or 2GiB")
    return size


def _seconds(text: str) -> float | None:
    if len(text) > _LONGEST_TEXT:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    return int(Decimal(match[1]) * _BYTES[match[2]]) if match else None


def _shown(value: Any) -> str:
    """The value as it was written, cut short: it may be anything."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_BYTES:
        return "a number that large"
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


Seconds = Annotated[float, BeforeValidator(parse_duration)]
ByteSize = Annotated[int, BeforeValidator(parse_size)]


def show_size(size: float) -> str:
    """``512 B``, ``1.5 MiB``, ``46 MiB``."""
    if size < _STEP:
        return f"{size:g} B"
    value, unit = size / _STEP, _SHOWN_UNITS[0]
    for larger in _SHOWN_UNITS[1:]:
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{value:.1f} {unit}" if value < _TENTHS_BELOW else f"{value:.0f} {unit}"
