"""How the figures are shown: one table for people, one document for programs."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contender import Contender
from benchmarks.figures import Figures
from benchmarks.measuring import OPERATIONS, VISITORS


def document(
    figures: Sequence[Figures], contenders: Sequence[Contender], notes: Sequence[str]
) -> dict[str, Any]:
    """Everything that was measured, and where; milliseconds."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "contenders": {contender.name: contender.version for contender in contenders},
        "operations": OPERATIONS,
        "figures": [
            asdict(one) | {"target": one.target, "within_target": one.within_target} for one in figures
        ],
        "notes": list(notes),
    }


def show(figures: Sequence[Figures], contenders: Sequence[Contender], notes: Sequence[str]) -> None:
    """Print the table."""
    console = Console()
    table = Table(
        title=f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        caption="milliseconds; the ratios are of medians: look at them, not at absolutes",
    )
    table.add_column("operation")
    table.add_column("contender")
    for column in ("n", "median", "p95", "least", "/ floor", "/ supervisor"):
        table.add_column(column, justify="right")
    table.add_column("target")
    before = ""
    for one in figures:
        if one.operation != before and before:
            table.add_section()
        table.add_row(one.operation if one.operation != before else "", one.contender, *_cells(one))
        before = one.operation
    console.print(table)
    for key, meaning in OPERATIONS.items():
        console.print(f"  [bold]{key:<9}[/]{meaning}", highlight=False)
    for contender in contenders:
        console.print(f"  [bold]{contender.name}[/] {contender.version}", highlight=False)
    for note in (*_throughput(figures), *notes):
        console.print(f"  {note}", highlight=False)


def _cells(one: Figures) -> list[str]:
    kept = {None: "", True: f"≤ {one.target}: kept", False: f"[red]≤ {one.target}: missed[/]"}
    return [
        str(one.count),
        f"{one.median:.2f}",
        f"{one.p95:.2f}",
        f"{one.least:.2f}",
        "" if one.to_floor is None or one.operation == "call" else f"{one.to_floor:.1f}",
        "" if one.to_peer is None or one.contender == "supervisor" else f"{one.to_peer:.2f}",
        kept[one.within_target],
    ]


def _throughput(figures: Sequence[Figures]) -> list[str]:
    rates = [
        f"{one.contender} {VISITORS / one.median * 1000:.0f}" for one in figures if one.operation == "starts"
    ]
    return [f"starts a second: {', '.join(rates)}"] if rates else []
