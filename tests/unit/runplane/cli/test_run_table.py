from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from runplane.cli.run_table import run_table
from runplane.contract.run import Run

NOW = datetime.now(UTC)  # of moments that are not shown


def run(**changes: Any) -> Run:
    return Run.model_validate(
        {
            "run_id": "run_0dcbc991c0d4", "workflow": "lina", "workflow_version": 1, "status": "running",
            "created_at": datetime.now(UTC) - timedelta(minutes=4), "requested_by": "operator", "seq": 1, **changes,
        }
    )  # fmt: skip


def rows(*runs: Run, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(run_table(runs))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_columns_are_those_that_were_promised() -> None:
    header, row = rows(
        run(
            host="h1",
            progress={"done": 3, "total": 10, "updated_at": NOW},
            resources={"cpu_percent": 99.6, "rss_bytes": 45 * 2**20, "sampled_at": NOW},
            conditions=[{"type": "stuck", "verdict": "idle", "since": NOW}],
        )
    )
    assert header.split() == ["RUN", "WORKFLOW", "STATUS", "PROGRESS", "AGE", "HOST", "CPU", "MEM"]
    assert row.split() == [
        "run_0dcbc991c0d4",
        "lina",
        "running",
        "stuck",
        "30%",
        "3/10",
        "4m",
        "h1",
        "100%",
        "45M",
    ]


def test_a_run_that_nothing_is_known_of_has_dashes() -> None:
    assert rows(run(status="pending"))[1].split() == [
        "run_0dcbc991c0d4",
        "lina",
        "pending",
        "-",
        "4m",
        "-",
        "-",
        "-",
    ]


def test_eighty_columns_are_enough_for_long_names() -> None:
    long = run(
        workflow="a-workflow-with-a-name-of-its-own", host="some-host-in-some-rack-of-some-room",
        status="unreachable", conditions=[{"type": "stuck", "since": NOW}],
        progress={"done": 123_456, "total": 1_234_567, "updated_at": NOW},
        resources={"cpu_percent": 3200.0, "rss_bytes": 2**40, "sampled_at": NOW},
    )  # fmt: skip
    _, row = rows(long)
    assert len(row) <= 80
    assert row.startswith("run_0dcbc991c0d4 ")
    assert "unreachable stuck" in row


def test_names_cannot_draw() -> None:
    assert "\x1b" not in "\n".join(rows(run(workflow="\x1b[2J[red]x")))
