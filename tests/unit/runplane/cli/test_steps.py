"""The page of steps: what lies within what, and a step that nobody will finish is not shown as running."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from runplane.cli import steps as page
from runplane.client import StepView
from runplane.contract.run import Run, Status
from runplane.contract.steps import depth_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(status: Status) -> Run:
    return Run(
        run_id="run_00000000000a",
        workflow="w",
        workflow_version=1,
        status=status,
        attempt=1,
        created_at=NOON,
        requested_by="ada",
        seq=1,
    )


@pytest.mark.parametrize(
    ("key", "depth"),
    [(None, 0), ("plan#0", 0), ("plan#0/fetch#2", 1), ("@12/a#0", 0), ("@12/a#0/b#1/c#0", 2)],
)
def test_the_depth_is_how_many_steps_it_lies_within(key: str | None, depth: int) -> None:
    assert depth_of(key) == depth


def test_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        StepView(name="plan", index=0, key="plan#0", attempt=1, state="started", started_at=NOON, inputs={"n": 1}),
        StepView(
            name="fetch", index=0, key="plan#0/fetch#0", attempt=1, state="completed", started_at=NOON,
            ended_at=NOON + timedelta(seconds=90), result=["[bold]a"],
        ),
        StepView(name="fetch", index=1, key="plan#0/fetch#1", attempt=1, state="failed", error="ValueError: no"),
    )  # fmt: skip
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    monkeypatch.setattr(page, "draw", console.print)
    page._draw(run(Status.FAILED), found)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[1].startswith('plan unfinished 1 - {"n": 1}')
    assert lines[2] == 'fetch completed 1 1m 30s - ["[bold]a"]'
    assert lines[3] == "fetch failed 1 - - ValueError: no"
