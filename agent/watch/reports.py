"""Reads ``reports.jsonl``, in which a workflow says how far it is, and turns its lines into facts.

A line that is torn, too long, not JSON or not a report is set aside and counted, never fatal. Progress is coalesced:
the last report within :data:`COALESCE_SECONDS` becomes a fact; steps become facts each. A fact's key is the offset of
its line, so reading the file again after a restart makes the same facts.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from runplane.contract.debugging import INPUTS, VARIABLES
from runplane.contract.events import (
    ProgressReported,
    ReportSetAside,
    StepCompleted,
    StepFailed,
    StepStarted,
    VariablesReported,
)
from runplane.contract.run import Actor
from runplane.contract.value import Value

COALESCE_SECONDS = 1.0
LONGEST_LINE_BYTES = 256 * 2**10
LONGEST_KEY = 1_000
_READ_BYTES = 2**18
_MOST_AT_ONCE_BYTES = 2**20
"""A workflow may write faster than it is read: then the others have their turn meanwhile."""
_STATES = frozenset({"started", "completed", "failed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One fact from a line: ``key`` is the line's place in its file."""

    key: int
    fact: Value
    actor: Actor | None = None

    def with_fact(self, fact: Value) -> "Report":
        """The same report, which says something else."""
        return replace(self, fact=fact)

    @property
    def is_urgent(self) -> bool:
        """Whether the workflow waits for an answer to it."""
        return isinstance(self.fact, Held | CheckpointTaken)

    @property
    def is_coalesced(self) -> bool:
        """Whether a later one of its kind makes this one superfluous."""
        return isinstance(self.fact, ProgressReported | VariablesReported)


class Held(Value):
    """The workflow stays at a boundary. ``id`` names this stay where its SDK gives names."""

    at: str = Field(min_length=1, max_length=205)
    id: str | None = Field(default=None, max_length=100)
    explicit: bool = False
    scopes: dict[str, dict[str, JsonValue]]

    @property
    def name(self) -> str:
        """What tells it from other stays."""
        return self.id or self.at

    def values(self) -> dict[str, JsonValue]:
        """What its conditions are about; an input goes before a variable of the same name."""
        return {**self.scopes.get(VARIABLES, {}), **self.scopes.get(INPUTS, {})}


class Resumed(Value):
    """The workflow goes on from a boundary."""

    at: str = Field(min_length=1, max_length=205)
    id: str | None = Field(default=None, max_length=100)

    @property
    def name(self) -> str:
        """As of what it was held by."""
        return self.id or self.at


class CheckpointTaken(Value):
    """The workflow gave a state to go on from. ``number``: which one of its attempt, from 1; ``id``: as it calls it.

    ``files``: what belongs to it, the path of each by its name. ``waits``: the workflow waits until it is stored.
    """

    number: int
    id: str | None = Field(default=None, max_length=100)
    state: JsonValue
    files: dict[str, str] = Field(default_factory=dict, max_length=1_000)
    waits: bool = False


class ShapeChanged(Value):
    """A resumed workflow called other steps than it had called before, and stopped."""

    message: str = Field(max_length=2_000)


class ReportFile:
    """Reads one file on from where it was; bounded memory whatever is written there."""

    def __init__(self, path: Path, most_at_once: int | None = None) -> None:
        """Nothing is opened before :meth:`read`.

        ``most_at_once``: bytes that a read takes, the last one as well: what is more then is passed over and said so.
        """
        self._path = path
        self._most_at_once = most_at_once
        self.has_more = False
        self._offset = 0
        self._rest = b""
        self._rest_at = 0
        self._skipping = False
        self._steps: dict[str, int] = {}
        self._shown: dict[str, JsonValue] | None = None
        self._began: dict[tuple[str, int], float] = {}
        self._checkpoints = 0
        self.set_aside = 0

    def read(self, *, last: bool = False) -> list[Report]:
        """The facts of the lines written since; with ``last``, a line without its end counts as torn."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return []
        reports: list[Report] = []
        try:
            begun = self._offset
            most = _MOST_AT_ONCE_BYTES if self._most_at_once is None else self._most_at_once
            self.has_more = False
            if last:
                reports.extend(self._pass_over(fd))
            while chunk := os.pread(fd, _READ_BYTES, self._offset):
                self._offset += len(chunk)
                reports.extend(self._lines(chunk))
                if not last and self._offset - begun >= most:
                    self.has_more = True
                    break
        finally:
            os.close(fd)
        if last and self._rest.strip():
            reports.extend(self._aside(self._rest_at, "the last line has no end"))
            self._rest = b""
        return coalesced(reports)

    def _lines(self, chunk: bytes) -> Iterator[Report]:
        content = self._rest + chunk
        at = self._rest_at
        *lines, rest = content.split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif len(line) > LONGEST_LINE_BYTES:
                yield from self._aside(at, f"a line of {len(line)} bytes is over {LONGEST_LINE_BYTES}")
            elif line.strip():
                yield from self._line(line, at)
            at += len(line) + 1
        if len(rest) > LONGEST_LINE_BYTES:
            if not self._skipping:
                yield from self._aside(at, f"a line is over {LONGEST_LINE_BYTES} bytes")
            self._skipping = True
            at += len(rest)
            rest = b""
        self._rest, self._rest_at = rest, at

    def _line(self, line: bytes, at: int) -> Iterator[Report]:
        try:
            raw = json.loads(line)
            facts = list(self._facts(raw)) if isinstance(raw, dict) else None
        except (ValueError, ValidationError, RecursionError) as error:
            yield from self._aside(at, f"not a report: {str(error).splitlines()[0][:120]}")
            return
        if facts is None:
            yield from self._aside(at, "not a JSON object")
            return
        for index, fact in enumerate(facts):
            yield Report(key=at * 8 + index, fact=fact)

    def _facts(self, raw: dict[str, Any]) -> Iterator[Value]:
        progress = raw.get("progress")
        if isinstance(progress, dict):
            yield ProgressReported(
                done=finite(progress.get("done")),
                total=finite(progress.get("total")),
                unit=report_text(progress.get("unit"), 40),
                message=report_text(progress.get("message"), 500),
            )
        shown = raw.get("variables")
        if isinstance(shown, dict) and shown != self._shown:
            self._shown = shown
            yield VariablesReported(values=shown)
        if "checkpoint" in raw and self._most_at_once is None:  # what is only printed is none
            yield self._checkpoint(raw)
        if isinstance(raw.get("shape_changed"), str):
            yield ShapeChanged(message=raw["shape_changed"][:2_000])
        held = raw.get("held")
        if isinstance(held, dict):
            scopes = {name: held[name] for name in (INPUTS, VARIABLES) if isinstance(held.get(name), dict)}
            yield Held(
                at=held.get("at", ""), id=held.get("id"), explicit=held.get("explicit") is True, scopes=scopes
            )
        resumed = raw.get("resumed")
        if isinstance(resumed, dict):
            yield Resumed(at=resumed.get("at", ""), id=resumed.get("id"))
        if isinstance(raw.get("step"), str):
            yield self._step(raw, raw["step"][:200], finite(raw.get("t")))

    def _checkpoint(self, raw: dict[str, Any]) -> Value:
        self._checkpoints += 1
        state = raw["checkpoint"]
        if not isinstance(state, dict):
            raise ValueError(f"a checkpoint is a JSON object, not {type(state).__name__}")  # noqa: TRY004
        return CheckpointTaken(
            number=self._checkpoints,
            id=raw.get("id"),
            state=state,
            files=raw.get("files") or {},
            waits=raw.get("wait") is True,
        )

    def _step(self, raw: dict[str, Any], name: str, at: float | None) -> Value:
        state = raw.get("state")
        if state not in _STATES:
            raise ValueError(f"state {state!r} of step {name!r} is not one of started, completed, failed")
        if state == "started":
            self._steps[name] = self._steps.get(name, -1) + 1
        given = raw.get("index")
        index = (
            given
            if isinstance(given, int) and not isinstance(given, bool)
            else self._steps.setdefault(name, 0)
        )
        key = report_text(raw.get("key"), LONGEST_KEY)
        if state == "started":
            if at is not None and len(self._began) < 10_000:  # noqa: PLR2004 — steps left open are a bounded loss
                self._began[name, index] = at
            expected = finite(raw.get("expected_seconds"))
            return StepStarted(
                name=name, index=index, key=key, inputs=raw.get("inputs"), expected_seconds=expected
            )
        began = self._began.pop((name, index), None)
        took = max(0.0, at - began) if at is not None and began is not None else None
        if state == "completed":
            return StepCompleted(
                name=name, index=index, key=key, result=raw.get("result"), duration_seconds=took
            )
        error = raw.get("error")
        text = error if isinstance(error, str) else json.dumps(error) if error is not None else ""
        return StepFailed(name=name, index=index, key=key, error=text[:4000], duration_seconds=took)

    def _aside(self, at: int, why: str) -> list[Report]:
        """What is told of a line that is set aside."""
        self.set_aside += 1
        return [Report(key=at * 8 + 7, fact=ReportSetAside(count=1, first_line=at, why=why))]

    def _pass_over(self, fd: int) -> list[Report]:
        """At the end nobody waits for long: leave out what is more than is read at once."""
        size = os.fstat(fd).st_size
        if self._most_at_once is None or size - self._offset <= self._most_at_once:
            return []
        begun, self._offset = self._offset, size - self._most_at_once
        self._rest, self._rest_at, self._skipping = b"", self._offset, True
        why = f"{self._offset - begun} bytes came so late that they were not looked through for progress and steps"
        return [Report(key=-(begun * 8 + 6), fact=ReportSetAside(count=1, first_line=begun, why=why))]


def coalesced(reports: list[Report]) -> list[Report]:
    """Of progress and of variables only the last of a stretch, and one fact for all lines set aside."""
    last = {type(report.fact): report for report in reports if report.is_coalesced}
    asides = [report for report in reports if isinstance(report.fact, ReportSetAside)]
    kept = [
        report
        for report in reports
        if not isinstance(report.fact, ReportSetAside)
        and (not report.is_coalesced or report is last[type(report.fact)])
    ]
    if asides:
        facts = [report.fact for report in asides if isinstance(report.fact, ReportSetAside)]
        whole = facts[0].model_copy(update={"count": sum(fact.count for fact in facts)})
        kept.append(Report(key=asides[0].key, fact=whole))
    return kept


def finite(value: Any) -> float | None:
    """The number; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def report_text(value: Any, longest: int) -> str | None:
    """As text, cut to a bearable length."""
    return None if value is None else str(value)[:longest]
