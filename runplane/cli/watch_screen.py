"""What ``ps --watch`` draws: a line a run, and below a stuck one what it waits for. Pure: size and time are arguments.

Columns give way from the right where the terminal is narrow; nothing is wider or higher than the terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runplane.cli.duration import age_of, show_age, show_duration
from runplane.cli.run_words import NOTHING, STYLES, exit_text, stuck_of
from runplane.cli.size import count, show_short_size
from runplane.cli.terminal import one_line
from runplane.cli.watched_runs import Watched
from runplane.contract.run import Run, Status

if TYPE_CHECKING:
    from rich.text import Text

BAR_CELLS = 10
SPARK_CELLS = 8
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"
_FULL_PERCENT = 100.0


@dataclass(frozen=True, kw_only=True)
class Column:
    """``grows``: takes what is left of the width. ``above``: shown where the terminal has more columns than that."""

    name: str
    width: int
    above: int = 0
    grows: bool = False
    right: bool = False


COLUMNS = (
    Column(name="RUN", width=16),
    Column(name="WORKFLOW", width=10, above=40, grows=True),
    Column(name="STATUS", width=13, above=30),
    Column(name="PROGRESS", width=BAR_CELLS + 5, above=64),
    Column(name="CPU", width=SPARK_CELLS + 6, above=72, right=True),
    Column(name="MEM", width=6, above=92, right=True),
    Column(name="AGE", width=4, above=50, right=True),
    Column(name="HOST", width=10, above=104, grows=True),
)


def draw_screen(
    runs: Sequence[Watched],
    *,
    width: int,
    height: int,
    now: datetime,
    trouble: str = "",
    ascii_only: bool = False,
) -> "list[Text]":
    """The lines of one screen."""
    from rich.text import Text

    lines = [_headline(runs, trouble), Text()]
    columns = _fitting(width)
    lines.append(_row([Text(column.name, style="bold") for column in columns], columns, width))
    room = max(0, height - len(lines) - 1)
    shown = 0
    for watched in runs:
        block = _block(watched, columns, width, now, ascii_only=ascii_only)
        if len(block) > room:
            break
        lines += block
        room -= len(block)
        shown += 1
    if shown < len(runs):
        lines.append(
            Text(f"{count(len(runs) - shown, 'run')} more below: make the window higher, or narrow the list")
        )
    elif not runs:
        lines.append(Text("no run matches: one that is started appears here"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines[:height]


def plain_line(run: Run) -> str:
    """One run on one line, for a pipe: what is told again when it changes."""
    stuck = stuck_of(run)
    what = f"stuck ({stuck.verdict}): {one_line(stuck.detail)}" if stuck is not None else _progress_of(run)
    if run.status.ended:
        what = one_line(run.failure.message) if run.failure is not None else ""
    status = str(run.status) if not run.status.ended else f"{run.status} {exit_text(run.exit)}".strip()
    return f"{run.run_id}  {one_line(run.workflow, 63)}  {status}  {what}".rstrip()


def sparkline(values: Sequence[float], cells: int, *, ascii_only: bool = False) -> str:
    """The last ``cells`` values; a full block is a whole core, or the greatest value where that is more."""
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    shown = list(values)[-cells:]
    most = max([_FULL_PERCENT, *shown])
    return "".join(blocks[min(len(blocks) - 1, int(value / most * len(blocks)))] for value in shown)


def bar(run: Run, cells: int, *, ascii_only: bool = False) -> str:
    """``███████░░░  70%``; the number alone where no total is known; nothing where nothing is."""
    progress = run.progress
    if progress is None or progress.done is None:
        return NOTHING
    if not progress.total:
        return one_line(f"{progress.done:g} {progress.unit or ''}", cells + 5)
    share = max(0.0, min(1.0, progress.done / progress.total))
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    filled = int(share * cells)
    return f"{full * filled}{empty * (cells - filled)} {share:>4.0%}"


def _headline(runs: Iterable[Watched], trouble: str) -> "Text":
    from rich.text import Text

    counts: dict[str, int] = {}
    stuck = 0
    for watched in runs:
        counts[str(watched.run.status)] = counts.get(str(watched.run.status), 0) + 1
        stuck += stuck_of(watched.run) is not None
    said = [f"{counts[status]} {status}" for status in map(str, Status) if status in counts]
    line = Text(" · ".join(said) or "no run", style="bold")
    if stuck:
        line.append(f" · {stuck} stuck", style="bold yellow")
    line.append("   Ctrl-C ends it", style="dim")
    if trouble:
        line = Text(trouble, style="bold red")
    return line


def _block(
    watched: Watched, columns: Sequence[Column], width: int, now: datetime, *, ascii_only: bool
) -> "list[Text]":
    from rich.text import Text

    run = watched.run
    cells = {
        "RUN": Text(run.run_id),
        "WORKFLOW": Text(one_line(run.workflow)),
        "STATUS": _status(run),
        "PROGRESS": Text(bar(run, BAR_CELLS, ascii_only=ascii_only)),
        "CPU": _cpu(watched, ascii_only=ascii_only),
        "MEM": Text(show_short_size(run.resources.rss_bytes) if run.resources is not None else NOTHING),
        "AGE": Text(show_age(age_of(run.created_at, now))),
        "HOST": Text(one_line(run.host or NOTHING)),
    }
    lines = [_row([cells[column.name] for column in columns], columns, width)]
    if watched.leaves_at is not None:
        lines[0].stylize("dim")
    stuck = stuck_of(run)
    if stuck is not None:
        since = show_duration(age_of(stuck.since, now))
        lines.append(
            Text(f"  stuck {since}: {one_line(stuck.detail or stuck.verdict or '', 400)}", style="yellow")
        )
    return lines


def _status(run: Run) -> "Text":
    from rich.text import Text

    text = Text(str(run.status), style=STYLES.get(run.status, ""))
    if run.status.ended and run.exit is not None and run.exit.code:
        text.append(f" {run.exit.code}")
    return text


def _cpu(watched: Watched, *, ascii_only: bool) -> "Text":
    from rich.text import Text

    if watched.run.resources is None or watched.run.status.ended:
        return Text(NOTHING)
    line = sparkline(watched.cpu, SPARK_CELLS, ascii_only=ascii_only)
    return Text(f"{line} {watched.run.resources.cpu_percent:>4.0f}%")


def _progress_of(run: Run) -> str:
    progress = run.progress
    if progress is None or progress.done is None:
        return ""
    total = f"/{progress.total:g}" if progress.total else ""
    message = f" {one_line(progress.message, 80)}" if progress.message else ""
    return f"{progress.done:g}{total} {progress.unit or ''}".strip() + message


def _fitting(width: int) -> list[Column]:
    return [column for column in COLUMNS if width > column.above]


def _row(cells: "Sequence[Text]", columns: Sequence[Column], width: int) -> "Text":
    from rich.text import Text

    fixed = sum(column.width for column in columns) + len(columns) - 1
    growing = [column.name for column in columns if column.grows]
    more = max(0, width - fixed) // len(growing) if growing else 0
    line = Text()
    for cell, column in zip(cells, columns, strict=True):
        space = column.width + (min(more, 30) if column.grows else 0)
        shown = cell.copy()
        shown.truncate(space, overflow="ellipsis")
        padding = " " * (space - shown.cell_len)
        line.append(padding if column.right else "")
        line.append_text(shown)
        line.append("" if column.right else padding)
        line.append(" ")
    line.rstrip()
    return line
