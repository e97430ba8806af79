"""The rows of the live table, kept once for all viewers: a viewer asks what changed since it last asked.

Fed by the read model's changes and by heartbeats; bounded to the newest runs.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import Any

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.read_model import RunFilter
from runplane.contract.run import Run, Status

log = logging.getLogger("control_plane.dashboard")

MOST_ROWS = 5_000
_PAGE = 1_000

Row = dict[str, Any]


class LiveRows:
    """Rows by run id, each with the turn in which it last changed."""

    def __init__(self, context: Context) -> None:
        """Empty; :meth:`run` fills it and keeps it."""
        self._context = context
        self._rows: OrderedDict[str, tuple[int, Row]] = OrderedDict()
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._open: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.turn = 0

    def start(self) -> None:
        """Begin to follow, once; called by the first viewer."""
        if self._task is None or self._task.done():
            self._load()
            self._task = asyncio.create_task(self._follow(), name="dashboard rows")

    def rows(self) -> list[Row]:
        """All rows, newest first."""
        return [row for _, row in reversed(self._rows.values())]

    def changed_since(self, turn: int) -> list[Row]:
        """The rows that changed after a turn."""
        changed: list[Row] = []
        for run_id, at in reversed(self._changed.items()):
            if at <= turn:
                break
            changed.append(self._rows[run_id][1])
        return changed

    def counts(self) -> dict[str, int]:
        """How many runs of each status."""
        return self._context.read_model.status_counts()

    def sample(self) -> None:
        """Take up the last samples of open runs; called by viewers, at most as often as they look."""
        for run_id in list(self._open):
            run = self._context.read_model.run(run_id)
            if run is not None:
                self._put(run)

    def _load(self) -> None:
        runs: list[Run] = []
        cursor: str | None = None
        while len(runs) < MOST_ROWS:
            page = self._context.read_model.runs(RunFilter(limit=_PAGE, cursor=cursor))
            runs.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                break
        for run in reversed(runs):
            self._put(run)

    async def _follow(self) -> None:
        async with self._context.read_model.subscribe() as changes:
            async for change in changes:
                if change.missed:
                    self._load()
                elif change.run is not None:
                    self._put(change.run)

    def _put(self, run: Run) -> None:
        row = row_of(run)
        before = self._rows.get(run.run_id)
        if run.status.ended:
            self._open.discard(run.run_id)
        else:
            self._open.add(run.run_id)
        if before is not None and before[1] == row:
            return
        self.turn += 1
        self._rows[run.run_id] = (self.turn, row)
        self._changed[run.run_id] = self.turn
        self._changed.move_to_end(run.run_id)
        while len(self._rows) > MOST_ROWS:
            gone, _ = self._rows.popitem(last=False)
            self._changed.pop(gone, None)
            self._open.discard(gone)


def row_of(run: Run) -> Row:
    """What the table shows of a run: plain values, set as text by the browser."""
    stuck = next(
        (condition.verdict or "stuck" for condition in run.conditions if condition.type == "stuck"), None
    )
    shown = run.resources if not run.status.ended else None
    share = words.share(run.progress)
    if run.status is Status.COMPLETED and share is None:
        share = 1.0
    return {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": str(run.status),
        "stuck": stuck,
        "share": round(share, 3) if share is not None else None,
        "progress": words.progress_text(run.progress) or words.outcome(run),
        "created": int(run.created_at.timestamp() * 1000),
        "started": int(run.started_at.timestamp() * 1000) if run.started_at else None,
        "ended": int(run.ended_at.timestamp() * 1000) if run.ended_at else None,
        "host": run.host or "",
        "cpu": round(shown.cpu_percent) if shown else None,
        "memory": shown.rss_bytes if shown else None,
        "by": run.requested_by,
    }
