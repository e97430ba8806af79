"""The steps of a run as a timeline. The browser keeps it (``run.js``) and is sent new records only."""

import json
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from control_plane.dashboard import words
from control_plane.dashboard.following import call
from runplane.contract.envelope import Envelope
from runplane.contract.events import StepCompleted, StepFailed, StepStarted
from runplane.contract.steps import depth_of

STEPS = frozenset({StepStarted.__name__, StepCompleted.__name__, StepFailed.__name__})
_LONGEST_VALUE = 4_000
_DEEPEST = 8


class StepsView:
    """Of one viewer."""

    def __init__(self) -> None:
        """Build it where the caller stands."""
        self._client = ui.context.client
        self._element = ui.element("div").classes("rp-steps").props('role=list aria-label="Steps"')

    def add(self, records: Sequence[tuple[int, Envelope]]) -> None:
        """What the workflow reported of its steps."""
        told = [row for _, envelope in records if (row := _row(envelope)) is not None]
        if told:
            call(self._client, "steps", self._element.id, told)

    def end(self, moment: int | None) -> None:
        """The run has ended: a step that was left open did, too. Milliseconds; None while it goes on."""
        call(self._client, "stepsEnd", self._element.id, moment)


def _row(envelope: Envelope) -> dict[str, Any] | None:
    data = envelope.data
    at = int(envelope.time.timestamp() * 1000)
    match data:
        case StepStarted():
            told = {
                "state": "started",
                "more": _shown("inputs", data.inputs),
                "expected": data.expected_seconds,
            }
        case StepCompleted():
            told = {"state": "completed", "more": _shown("result", data.result)}
        case StepFailed():
            told = {"state": "failed", "more": _shown("error", data.error or None)}
        case _:
            return None
    return {
        "name": words.one_line(data.name, 80),
        "index": data.index,
        "depth": min(depth_of(data.key), _DEEPEST),
        "at": at,
        "attempt": envelope.attempt,
        **told,
    }


def _shown(what: str, value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    return f"{what}: {text[:_LONGEST_VALUE]}"
