"""A run directory as an agent makes it, for tests of what a workflow does with one."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = dict[str, Any]


class RunDirectory:
    """``environment`` is what a process of the run is given; ``reports`` is what it has said so far."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.control()

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        root = str(Path(__file__).parent.parent)
        return {
            **clean,
            "PYTHONPATH": root,
            "RUNPLANE_DIR": str(self.path),
            "RUNPLANE_RUN_ID": "run_0dcbc991c0d4",
            "RUNPLANE_ATTEMPT": "1",
            **more,
        }

    def control(self, **document: Any) -> None:
        self._replace(
            "control.json", {"breakpoints": [], "paused": False, "permits": 0, "variables": {}, **document}
        )

    def resume(self, *steps: Report, checkpoint: Report | None = None, **more: Any) -> None:
        self._replace("resume.json", {"checkpoint": checkpoint, "steps": list(steps), **more})

    def resume_from(self, other: "RunDirectory") -> None:
        """What an agent makes of an earlier attempt: its last checkpoint, and its completed steps as they were."""
        said = other.reports()
        done: list[Report] = [
            {
                "name": report["step"],
                "index": report["index"],
                "key": report["key"],
                "result": report["result"],
            }
            for report in said
            if report.get("state") == "completed"
        ]
        checkpoints = [report["checkpoint"] for report in said if "checkpoint" in report]
        self.resume(*done, checkpoint=checkpoints[-1] if checkpoints else None)

    def lines(self) -> list[bytes]:
        try:
            return (self.path / "reports.jsonl").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []

    def reports(self) -> list[Report]:
        """Every report, each checked to be a stamped object on a whole line of at most 64 KiB."""
        found = []
        for line in self.lines():
            assert line.endswith(b"\n"), line
            assert len(line) <= 65_536
            report = json.loads(line)
            assert isinstance(report["t"], float | int)
            found.append(report)
        return found

    def of(self, kind: str) -> list[Any]:
        return [report[kind] for report in self.reports() if kind in report]

    def steps(self) -> list[tuple[str, int, str]]:
        return [
            (report["step"], report["index"], report["state"])
            for report in self.reports()
            if "step" in report
        ]

    def wait_for(self, kind: str, number: int = 1, *, seconds: float = 20) -> Any:
        """The report of this kind with this number (from 1), as soon as it is there."""
        until(lambda: len(self.of(kind)) >= number, f"{number} of {kind}", seconds=seconds)
        return self.of(kind)[number - 1]

    def _replace(self, name: str, document: object) -> None:
        building = self.path / f".{name}"
        building.write_text(json.dumps(document))
        building.replace(self.path / name)


def until(condition: Callable[[], bool], what: str, *, seconds: float = 20) -> None:
    """Wait until the condition holds, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)
