"""Progress, checkpoints, variables, breakpoints, and what a workflow may know of its run."""

from __future__ import annotations

import json
import math
import os
import time
from operator import length_hint

from runplane.sdk.channel import channel
from runplane.sdk.control import hold, read_object
from runplane.sdk.line import LINE_LIMIT, TEXT_LIMIT, encode, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar

    from runplane.sdk.channel import Channel

    Item = TypeVar("Item")

_TRACK_SECONDS = 0.1
_CHECKPOINT_LIMIT = LINE_LIMIT - 256


class Run:
    """What a workflow may know of its run. Outside a run: ``run_id`` None, ``attempt`` 0, no params."""

    __slots__ = ("attempt", "directory", "is_resumed", "params", "run_id")

    def __init__(
        self,
        *,
        run_id: str | None = None,
        attempt: int = 0,
        params: dict[str, Any] | None = None,
        is_resumed: bool = False,
        directory: str | None = None,
    ) -> None:
        self.run_id, self.attempt, self.directory = run_id, attempt, directory
        self.params: dict[str, Any] = params or {}
        self.is_resumed = is_resumed

    def __repr__(self) -> str:
        return f"Run(run_id={self.run_id!r}, attempt={self.attempt}, is_resumed={self.is_resumed})"


def run() -> Run:
    """The run this process belongs to. Secret parameters are not among ``params``."""
    end = channel()
    if end is None:
        return Run()
    attempt = os.environ.get("RUNPLANE_ATTEMPT", "")
    try:
        params = (read_object(end.path("spec.json")) or {}).get("params")
    except (OSError, ValueError):
        params = None
    return Run(
        run_id=os.environ.get("RUNPLANE_RUN_ID"),
        attempt=int(attempt) if attempt.isdecimal() else 1,
        params=params if isinstance(params, dict) else None,
        is_resumed=bool(end.resume()),
        directory=end.directory,
    )


def progress(
    done: float, total: float | None = None, message: str | None = None, *, unit: str | None = None
) -> None:
    """Say how far the work is. Every call is written; the agent shows the last."""
    end = channel()
    if end is not None:
        _progress(end, done, total, message, unit)


def track(
    iterable: Iterable[Item],
    total: float | None = None,
    message: str | None = None,
    *,
    unit: str | None = None,
) -> Iterator[Item]:
    """Iterate, and report how many items are done: about ten times a second, and at the end."""
    end = channel()
    if end is None:
        return iter(iterable)
    if total is None:
        hint = length_hint(iterable, -1)
        total = hint if hint >= 0 else None
    return _tracked(end, iterable, total, message, unit)


def checkpoint(state: dict[str, Any]) -> None:
    """Keep a state for the next attempt: a JSON object of at most 64 KiB.

    TypeError or ValueError if it is not one, OSError if it cannot be written: a checkpoint is never lost in silence.
    """
    if not isinstance(state, dict):
        raise TypeError(
            f"a checkpoint is a dict, not {type(state).__name__}: wrap it, as in checkpoint({{'state': …}})"
        )
    end = channel()
    if end is None:
        return
    kept = encode(state).encode()
    if len(kept) > _CHECKPOINT_LIMIT:
        raise ValueError(
            f"the checkpoint takes {len(kept)} bytes and may take {_CHECKPOINT_LIMIT}: "
            f"put what is large into a file and its name into the checkpoint"
        )
    if not end.report({"checkpoint": state}):
        raise OSError(f"the checkpoint could not be written to {end.path('reports.jsonl')}")
    end.checkpoint = kept


def last_checkpoint() -> dict[str, Any] | None:
    """The last checkpoint of this run, of an earlier attempt if this one has none; None if there is none."""
    end = channel()
    if end is None:
        return None
    if end.checkpoint is not None:
        return dict(json.loads(end.checkpoint))
    found = end.resume().get("checkpoint")
    return dict(found) if isinstance(found, dict) else None


def variables(**values: object) -> dict[str, Any]:
    """Let operators see these values; returns them as they are now, edits included. Without values: all exposed."""
    end = channel()
    if end is None:
        return values
    current = end.control.look().edited(values or end.exposed)
    end.exposed.update(current)
    if values:
        end.report({"variables": shown(current)})
    return current


def breakpoint(name: str, /, **values: object) -> dict[str, Any]:  # noqa: A001 - the interface names it
    """A boundary of its own: held by ``step:NAME``, ``step:*``, a pause, and always in a debug run.

    Returns the values as ``variables`` does, after the hold. An event loop stands still while it is held here.
    """
    end = channel()
    if end is None:
        return values
    end.exposed.update(values)
    scopes = {"variables": end.exposed}
    for wait in hold(end.control, f"step:{name}", lambda: scopes, end.report, explicit=True):
        time.sleep(wait)
    return variables(**values) if values else {}


def _tracked(
    end: Channel, iterable: Iterable[Item], total: float | None, message: str | None, unit: str | None
) -> Iterator[Item]:
    done, said, next_at = 0, -1, 0.0
    try:
        for item in iterable:
            now = time.monotonic()
            if now >= next_at:
                _progress(end, done, total, message, unit)
                said, next_at = done, now + _TRACK_SECONDS
            yield item
            done += 1
    finally:
        if said != done:
            _progress(end, done, total, message, unit)


def _progress(end: Channel, done: float, total: float | None, message: str | None, unit: str | None) -> None:
    body: dict[str, object] = {"done": _number(done)}
    if total is not None:
        body["total"] = _number(total)
    if unit is not None:
        body["unit"] = str(unit)[:TEXT_LIMIT]
    if message is not None:
        body["message"] = str(message)[:TEXT_LIMIT]
    end.report({"progress": body})


def _number(value: Any) -> float | None:
    """A plain number, of numpy's as well; None for what is not finite."""
    if type(value) is int:
        return value
    number = float(value)
    return number if math.isfinite(number) else None
