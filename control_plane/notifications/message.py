"""What is told: who, what happened, and what to type next. A pure function of the record and the run as it then was.

What a workflow or its output chose is text, without control sequences and within a length.
"""

import json
from collections.abc import Mapping
from typing import Any

from control_plane.notifications.settings import About
from runplane.contract.envelope import Envelope
from runplane.contract.events import ConditionRaised
from runplane.contract.run import Run
from runplane.contract.text import without_control_sequences
from runplane.contract.value import Moment, Value

LONGEST = 1_000
TEST = "test"


class Message(Value):
    """One notification. ``type`` is ``run.stuck``, ``run.failed`` … or ``test``."""

    type: str
    timestamp: Moment
    data: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line."""
        run_id = self.data.get("run_id")
        return f"{self.data['workflow']} {run_id}: {self.data['status']}" if run_id else "Runplane: a test"

    @property
    def text(self) -> str:
        """For people, where there is no program to read the rest."""
        lines = [self.data["sentence"], *(f"$ {line}" for line in self.data["next"])]
        return "\n".join([*lines, self.data["url"]])

    def body(self) -> bytes:
        """The same bytes for the same message."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")).encode()


def message_of(about: About, record: Envelope, run: Run, dashboard: str) -> Message:
    """Tell of a run as it stood right after the record."""
    condition = record.data.condition if isinstance(record.data, ConditionRaised) else None
    data = {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "host": run.host,
        "status": "stuck" if about == "stuck" else str(run.status),
        "verdict": condition.verdict if condition is not None else None,
        "sentence": _clean(_sentence(about, record, run)),
        "next": _next(about, run),
        "url": f"{dashboard}/runs/{run.run_id}",
    }
    return Message(type=f"run.{about}", timestamp=record.time, data=data)


def trial_message(target: str, at: Moment, dashboard: str) -> Message:
    """What ``runplane notify test`` sends."""
    sentence = f"This is a test of the notification target {target}: it would have told you of a run."
    data = {"sentence": sentence, "next": ["runplane notify"], "url": f"{dashboard}/", "target": target}
    return Message(type=TEST, timestamp=at, data=data)


def _sentence(about: About, record: Envelope, run: Run) -> str:
    who = f"{run.workflow} {run.run_id}" + (f" on {run.host}" if run.host else "")
    if isinstance(record.data, ConditionRaised):
        condition = record.data.condition
        since = f"{condition.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"{who} is stuck since {since}: {condition.detail or condition.verdict}"
    if about == "killed":
        receipt = run.kill_receipt
        by = f"{receipt.requested_by} ({receipt.via})" if receipt is not None else record.actor.principal
        why = f": {receipt.reason}" if receipt is not None and receipt.reason else ""
        return f"{who} was killed by {by}{why}" + _follower(run)
    if about == "decision":
        why = run.failure.message if run.failure is not None else "no reason was told"
        return f"{who} waits for a decision after {run.attempt} attempts: {why}"
    words = {"failed": "failed", "timed_out": "ran out of time", "lost": "was lost"}[about]
    why = run.failure.message if run.failure is not None else "no reason was told"
    return f"{who} {words}: {why}" + _follower(run)


def _follower(run: Run) -> str:
    return f"; {run.restarted_as} follows it" if run.restarted_as is not None else ""


def _next(about: About, run: Run) -> list[str]:
    if run.restarted_as is not None:
        return [f"runplane status {run.restarted_as}"]
    run_id = run.run_id
    return {
        "stuck": [f"runplane diagnose {run_id}", f"runplane kill {run_id}", f"runplane restart {run_id}"],
        "decision": [
            f"runplane logs {run_id} --tail 20",
            f"runplane decide {run_id} retry",
            f"runplane decide {run_id} give-up",
        ],
        "failed": [f"runplane logs {run_id} --tail 20", f"runplane restart {run_id}"],
        "timed_out": [f"runplane logs {run_id} --tail 20", f"runplane restart {run_id}"],
        "killed": [f"runplane status {run_id}", f"runplane restart {run_id}"],
        "lost": ["runplane hosts", f"runplane status {run_id}", f"runplane restart {run_id}"],
    }[about]


def _clean(text: str) -> str:
    line = " ".join(without_control_sequences(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
