"""control.json: what the operator wants of a running workflow, looked at where it passes a step's boundary.

Shape: ``{"breakpoints": [{"location": "step:NAME" | "step:*", "condition": null}], "paused": bool, "permits": int,
"released": [ID], "variables": {NAME: VALUE}, "inputs": {NAME: VALUE}, "debug": bool}``. The agent replaces the file
atomically; ``permits`` only grows, and ends every hold, while ``released`` names those that end. Whether a condition
holds is decided by the agent: it lets go at once where it does not.
"""

from __future__ import annotations

import json
import os
from itertools import count

from runplane.sdk.line import part, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.1
_holds = count()


def read_object(path: str) -> dict[str, Any] | None:
    """A JSON object that the agent wrote, None where there is no such file. ValueError for any other content."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see the package's rules
            value = json.loads(file.read())
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{path} does not hold a JSON object")  # noqa: TRY004 - the file's fault, not the caller's
    return value


class Control:
    """The document, read again only when a stat shows that it was replaced."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._spent: dict[str, tuple[bytes, bytes]] = {}
        self._take({})

    def look(self) -> Control:
        """Bring the document up to date. One that is not whole or not valid leaves the last one standing."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - see the package's rules
        except OSError:
            if self._stamp is not None:
                self._stamp = None
                self._take({})
            return self
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            try:
                self._take(read_object(self._path) or {})
            except (OSError, ValueError):
                return self
            self._stamp = stamp
        return self

    def holds(self, at: str) -> bool:
        """Whether a workflow is to stay at this boundary (``step:NAME``)."""
        return self.paused or (bool(self.locations) and (at in self.locations or "step:*" in self.locations))

    def edited(self, values: dict[str, object]) -> dict[str, object]:
        """The values, with the operator's edits in place of the workflow's own.

        An edit holds while the workflow passes what it passed when the edit came, or the edit itself. With a third
        value it has moved on, and the edit is spent.
        """
        current = dict(values)
        for name in self.edits.keys() & values.keys():
            edit, own = part(self.edits[name]), part(values[name])
            known, base = self._spent.get(name, (b"", b""))
            if known != edit:
                base = own
            if own in (base, edit):
                current[name] = self.edits[name]
            else:
                base = b""
            self._spent[name] = (edit, base)
        return current

    def _take(self, document: dict[str, Any]) -> None:
        permits, edits, points, inputs = (
            document.get(name) for name in ("permits", "variables", "breakpoints", "inputs")
        )
        self.paused = document.get("paused") is True
        self.debug = document.get("debug") is True
        self.permits = permits if isinstance(permits, int) else 0
        released = document.get("released")
        self.released: list[object] = released if isinstance(released, list) else []
        self.edits: dict[str, object] = edits if isinstance(edits, dict) else {}
        self.inputs: dict[str, object] = inputs if isinstance(inputs, dict) else {}
        self.locations = {
            str(point.get("location"))
            for point in (points if isinstance(points, list) else ())
            if isinstance(point, dict)
        }


def hold(
    control: Control,
    at: str,
    scopes: Callable[[], dict[str, dict[str, object]]],
    report: Callable[[dict[str, object]], bool],
    *,
    explicit: bool = False,
) -> Generator[float, None, dict[str, object]]:
    """Stay at a boundary for as long as the operator wants it; yields the seconds to sleep before the next look.

    ``scopes``: what can be seen here, ``inputs`` and ``variables``. Returns the inputs that were changed meanwhile.

    ``explicit``: the workflow's own breakpoint, which in a debug run holds without being asked to. A hold ends when
    nothing asks for it any more, or when ``permits`` has grown since it began: a permit given before is no permit for
    this one. It has no limit of its own, the run's timeout bounds it. Without the file there is nobody to wait for.
    """
    control.look()
    if not (control.holds(at) or (explicit and control.debug)):
        return {}
    granted, wait, name = control.permits, _FIRST_WAIT, f"{os.getpid()}-{next(_holds)}"
    report(
        {
            "held": {
                "at": at,
                "id": name,
                "explicit": explicit,
                **{name: shown(values) for name, values in scopes().items()},
            }
        }
    )
    while (
        control.permits <= granted
        and name not in control.released
        and (control.holds(at) or (explicit and control.debug))
    ):
        yield wait
        wait = min(wait * 1.5, _LONGEST_WAIT)
        control.look()
    report({"resumed": {"at": at, "id": name}})
    return dict(control.inputs)
