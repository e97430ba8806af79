"""Reads progress and steps out of what a run prints: lines of JSON, or lines that fit the workflow's pattern.

Rules: what is printed is output first, so a line that is no report is none, and nothing is set aside. A line's cost is
bounded: only so much of it is looked at, and a pattern that takes too long is given up for this attempt, which is told
once. Keys are negative (the line's place, so that reading it again makes the same facts), those of the run's own
``reports.jsonl`` are not.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import regex
from pydantic import ValidationError

from agent.watch.reports import Report, ReportFile, finite, report_text
from runplane.contract.events import ProgressReported, ReportSetAside
from runplane.contract.workflow import ProgressPattern

MOST_CHARACTERS = 2_000
MATCH_SECONDS = 0.05
MOST_AT_ONCE_BYTES = 4 * 2**20
_KEYS = ("progress", "step")


def output_reports(
    path: Path, output: Literal["plain", "jsonl", "claude-code", "codex"], pattern: ProgressPattern | None
) -> "OutputReports | None":
    """The reader that the workflow asks for; None where it asks for none."""
    if output == "jsonl" or pattern is not None:
        return OutputReports(path, is_json=output == "jsonl", pattern=pattern)
    return None


class OutputReports(ReportFile):
    """Of one attempt's standard output."""

    def __init__(self, path: Path, *, is_json: bool, pattern: ProgressPattern | None) -> None:
        """Nothing is opened before :meth:`read`."""
        super().__init__(path, most_at_once=MOST_AT_ONCE_BYTES)
        self._is_json = is_json
        self._pattern = regex.compile(pattern.pattern) if pattern is not None else None

    def _line(self, line: bytes, at: int) -> Iterator[Report]:
        if self._is_json and line.lstrip()[:1] == b"{":
            yield from self._json(line, at)
        if self._pattern is not None:
            yield from self._match(line, at)

    def _json(self, line: bytes, at: int) -> Iterator[Report]:
        try:
            raw = json.loads(line)
            facts = (
                list(self._facts(raw)) if isinstance(raw, dict) and any(key in raw for key in _KEYS) else []
            )
        except (ValueError, ValidationError, RecursionError):
            return
        for index, fact in enumerate(facts):
            yield Report(key=-(at * 8 + index + 1), fact=fact)

    def _match(self, line: bytes, at: int) -> Iterator[Report]:
        assert self._pattern is not None  # noqa: S101 — the caller has looked
        text = line[: 4 * MOST_CHARACTERS].decode("utf-8", "replace")[:MOST_CHARACTERS]
        try:
            found = self._pattern.search(text, timeout=MATCH_SECONDS)
        except TimeoutError:
            self._pattern = None
            why = f"progress.pattern took over {MATCH_SECONDS:g} s for one line and is given up for this attempt"
            yield Report(key=-(at * 8 + 8), fact=ReportSetAside(count=1, first_line=at, why=why))
            return
        fact = _progress(found.groupdict()) if found is not None else None
        if fact is not None:
            yield Report(key=-(at * 8 + 7), fact=fact)

    def _aside(self, at: int, why: str) -> list[Report]:  # noqa: ARG002
        """A line that is no report is output, and nothing is wrong with it."""
        return []


def _progress(groups: dict[str, Any]) -> ProgressReported | None:
    """None where the figures are none."""
    percent, done = _number(groups.get("percent")), _number(groups.get("done"))
    if done is None and percent is None:
        return None
    total = _number(groups.get("total"))
    return ProgressReported(
        done=done if done is not None else percent,
        total=total if done is not None else 100.0,
        unit=report_text(groups.get("unit") or (None if done is not None else "%"), 40),
        message=report_text(groups.get("message"), 500),
    )


def _number(text: Any) -> float | None:
    try:
        return finite(float(str(text).replace(",", "").replace("_", ""))) if text else None
    except ValueError:
        return None
