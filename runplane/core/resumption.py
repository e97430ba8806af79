"""Where a run can go on: its last checkpoint and the steps that were completed, worked out from its story. Pure.

Only what the fold believes counts: what a host told late, of an attempt that the run had left behind, is nothing to go
on from. An attempt that itself went on from somewhere begins with what it was given.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    CheckpointStored,
    RunClaimed,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from runplane.contract.run import Checkpoint, Resumption
from runplane.core.fold import apply, initial
from runplane.core.objections import objection

_ELSEWHERE = "@"
"""What the place of a step begins with that belongs to a process that is never found again."""


@dataclass(kw_only=True, slots=True)
class Recorded:
    """What an attempt left. ``steps``: each that was begun, by its place, in the order of their beginnings.

    A step has ``name``, ``index``, ``state`` and, where it is completed, ``result``. ``given``: what the attempt itself
    began with. ``sequential``: no step was begun while another beside it was still open.
    """

    given: Resumption | None = None
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    sequential: bool = True
    _open: dict[str, set[str]] = field(default_factory=dict)

    def take(self, record: Envelope) -> None:
        """One more fact of the attempt."""
        data = record.data
        if isinstance(data, CheckpointStored):
            self.checkpoint = Checkpoint(id=data.digest, at=record.time)
        elif isinstance(data, StepStarted | StepCompleted | StepFailed):
            place = data.key or f"{data.name}#{data.index}"
            if not place.startswith(_ELSEWHERE):
                self._take_step(place, data)

    def _take_step(self, place: str, data: StepStarted | StepCompleted | StepFailed) -> None:
        beside = self._open.setdefault(place.rpartition("/")[0], set())
        step = self.steps.setdefault(place, {"name": data.name, "index": data.index, "key": place})
        if isinstance(data, StepStarted):
            self.sequential = self.sequential and not beside - {place}
            beside.add(place)
            step.update(state="started")
            return
        beside.discard(place)
        if isinstance(data, StepCompleted):
            step.update(state="completed", result=data.result)
        else:
            step.update(state="failed")


def recorded(records: Iterable[tuple[int, Envelope]]) -> Recorded:
    """What the run's last attempt left, and what it had begun with."""
    state, left = initial(), Recorded()
    order: StartRun | None = None
    for seq, record in records:
        run = state.run
        believed = run is None or objection(state, run, record) is None
        state = apply(state, record, seq)
        if isinstance(record.data, StartRun) and believed:
            order = record.data
        elif isinstance(record.data, RunClaimed) and believed:
            given = order.resume if order is not None and order.attempt == record.data.attempt else None
            left = Recorded(given=given, checkpoint=given.checkpoint if given is not None else None)
        elif believed:
            left.take(record)
    return left


def merged(before: list[dict[str, Any]], left: Recorded) -> list[dict[str, Any]]:
    """The steps to begin another attempt with: what the attempt was given, and over it what it did itself.

    In the order in which they were begun; what it did not get to comes last, in the order of before.
    """
    earlier = {str(step["key"]): step for step in before}
    now = {
        place: earlier[place]
        if step["state"] != "completed" and earlier.get(place, {}).get("state") == "completed"
        else step
        for place, step in left.steps.items()
    }
    return [*now.values(), *(step for place, step in earlier.items() if place not in now)]
