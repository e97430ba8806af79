"""Progress, checkpoints, variables, breakpoints, and what a workflow may know of its run."""

from __future__ import annotations

import json
import math
import os
import time
from operator import length_hint

from runplane.sdk.channel import channel
from runplane.sdk.control import hold, read_object
from runplane.sdk.line import LINE_LIMIT, SPILL_LIMIT, TEXT_LIMIT, encode, shown
from runplane.sdk.steps import current_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar

    from runplane.sdk.channel import Channel

    Item = TypeVar("Item")

_TRACK_SECONDS = 0.1
_CHECKPOINT_LIMIT = LINE_LIMIT - 8_192
_LONGEST_KEY = 200


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


def checkpoint(
    state: dict[str, Any], files: dict[str, str] | None = None, *, wait: float | None = None
) -> None:
    """Keep a state for the next attempt: a JSON object of at most 16 MiB, and files that belong to it, by name.

    It is on this host's disk when the call returns, and is stored away from it soon after; ``wait``: return when that
    has been done, in at most so many seconds. TypeError or ValueError if it is no such object, OSError if it cannot be
    written, RuntimeError if it was refused, TimeoutError: a checkpoint is never lost in silence.
    """
    if not isinstance(state, dict):
        raise TypeError(
            f"a checkpoint is a dict, not {type(state).__name__}: wrap it, as in checkpoint({{'state': …}})"
        )
    end = channel()
    if end is None:
        return
    kept = encode(state).encode()
    if len(kept) > SPILL_LIMIT:
        raise ValueError(
            f"the checkpoint takes {len(kept)} bytes and may take {SPILL_LIMIT}: "
            f"put what is large into a file and hand it over in files={{NAME: PATH}}"
        )
    body: dict[str, Any] = {"checkpoint": state, "id": end.next_checkpoint()}
    if wait is not None:
        body["wait"] = True
    if files:
        body["files"] = {str(name): os.path.abspath(path) for name, path in files.items()}  # noqa: PTH100
    if len(kept) > _CHECKPOINT_LIMIT:
        body["checkpoint"] = end.spilled(kept)
    if body["checkpoint"] is None or not end.report(body):
        raise OSError(f"the checkpoint could not be written to {end.directory}")
    end.checkpoint = kept
    if wait is not None:
        _await_stored(end, body["id"], wait)


def checkpoint_files() -> dict[str, str]:
    """Where the files of the checkpoint lie that this attempt began with, by name."""
    end = channel()
    found = end.resume().get("files") if end is not None else None
    return {str(name): str(path) for name, path in found.items()} if isinstance(found, dict) else {}


def idempotency_key(*, per_attempt: bool = False) -> str:
    """A key for the effect of the step that this is called in, to hand on to whoever is asked for it.

    It is the same whenever this step is run again, in another attempt or in a run that goes on from this one, so that
    what was done before its end could be written down is not done twice; ``per_attempt``: another one for each attempt.
    Empty outside a run.
    """
    end = channel()
    if end is None:
        return ""
    place = current_place(end)
    key = f"{end.origin}/{place}" if place else end.origin
    if len(key) > _LONGEST_KEY:
        import hashlib  # noqa: PLC0415 - rare

        key = f"{end.origin}/{hashlib.sha256(place.encode()).hexdigest()}"
    if per_attempt:
        key += f"@{os.environ.get('RUNPLANE_RUN_ID', '')}.{os.environ.get('RUNPLANE_ATTEMPT', '1')}"
    return key


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


def _await_stored(end: Channel, name: str, limit: float) -> None:
    """Until the agent says that the checkpoint, or a later one of this process, is stored."""
    writer, _, number = name.rpartition("-")
    deadline, pause = time.monotonic() + limit, 0.005
    while True:
        try:
            standing = read_object(end.path("checkpoint.json")) or {}
        except (OSError, ValueError):
            standing = {}
        refused = standing.get("refused")
        if isinstance(refused, dict) and refused.get("id") == name:
            raise RuntimeError(f"the checkpoint was refused: {refused.get('why')}")
        stored = standing.get("stored")
        if isinstance(stored, dict) and int(stored.get(writer, 0)) >= int(number):
            return
        if time.monotonic() >= deadline:
            raise TimeoutError(
                f"the checkpoint is on this host's disk, but was not stored away from it within {limit:g} s"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


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
