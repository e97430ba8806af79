"""Why an order is refused: the other answer of the functions that decide."""

from dataclasses import dataclass
from typing import Any

from runplane.contract.events import RunEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """Why an order is refused. ``code`` is stable; ``message`` says what is so and what to do."""

    code: str
    message: str
    detail: dict[str, Any]


Decision = tuple[RunEvent, ...] | Rejection


def reject(code: str, message: str, **detail: Any) -> Rejection:
    """A refusal; what ``detail`` holds is told as text."""
    return Rejection(code=code, message=message, detail={key: str(value) for key, value in detail.items()})
