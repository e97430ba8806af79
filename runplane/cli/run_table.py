"""Runs as a table: RUN, WORKFLOW, STATUS, PROGRESS, AGE, HOST, CPU, MEM. It fits 80 columns."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runplane.cli.duration import age_of, show_age
from runplane.cli.run_words import NOTHING, figure_of, status_text
from runplane.cli.size import show_short_size
from runplane.cli.terminal import plain
from runplane.contract.run import Run

if TYPE_CHECKING:
    from rich.table import Table

MAX_PROGRESS = 15
_MANY_PERCENT = 9.95


def run_table(runs: Iterable[Run]) -> "Table":
    """One row a run."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("RUN", no_wrap=True, min_width=16)
    # Columns that may wrap are the first to give way; a name has no blanks, so it is cut and never wraps.
    table.add_column("WORKFLOW", overflow="ellipsis", min_width=6)
    table.add_column("STATUS", no_wrap=True, min_width=9)
    table.add_column("PROGRESS", no_wrap=True, overflow="ellipsis", min_width=6, max_width=MAX_PROGRESS)
    table.add_column("AGE", no_wrap=True, justify="right", min_width=3)
    table.add_column("HOST", overflow="ellipsis", min_width=4)
    table.add_column("CPU", no_wrap=True, justify="right", min_width=3)
    table.add_column("MEM", no_wrap=True, justify="right", min_width=4)
    for run in runs:
        table.add_row(
            run.run_id,
            plain(run.workflow),
            status_text(run),
            plain(figure_of(run.progress)),
            show_age(age_of(run.created_at)),
            plain(run.host or NOTHING),
            _percent(run),
            show_short_size(run.resources.rss_bytes) if run.resources is not None else NOTHING,
        )
    return table


def _percent(run: Run) -> str:
    if run.resources is None:
        return NOTHING
    percent = run.resources.cpu_percent
    return f"{percent:.1f}%" if percent < _MANY_PERCENT else f"{percent:.0f}%"
