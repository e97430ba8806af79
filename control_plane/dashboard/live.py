"""The rows of the live table, kept once for all viewers: a viewer asks what changed since it last asked.

Fed by the read model's changes and by what hosts sample, never by asking around; nothing is done while nobody looks.
The rows are every open run and the newest ended ones, ``MOST_ROWS`` of them.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.read_model import RunFilter
from control_plane.read_model.changes import Ending
from runplane.contract.run import OPEN, Run, Status

MOST_ROWS = 2_000
IDLE_SECONDS = 60.0
"""How long the rows are kept up to date after the last viewer has left."""
SAMPLE_SECONDS = 1.0
COUNT_SECONDS = 0.5
_PAGE = 50

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """What changed up to ``turn``: rows to show, and ids of rows that have made room."""

    turn: int
    rows: list[Row]
    gone: list[str]


class LiveRows:
    """Rows by run id, each with the turn in which it last changed."""

    def __init__(self, context: Context) -> None:
        """Empty; the first viewer fills it."""
        self._context = context
        self._rows: dict[str, tuple[int, Row]] = {}
        self._changed: dict[str, int] = {}
        self._gone: deque[tuple[int, str]] = deque(maxlen=MOST_ROWS)
        self._open: set[str] = set()
        self._viewers: set[asyncio.Event] = set()
        self._left_at = monotonic()
        self._task: asyncio.Task[None] | None = None
        self._counts: tuple[float, int, dict[str, int]] = (0.0, -1, {})
        self.turn = 0

    @contextmanager
    def viewer(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever something changed, for as long as the block lasts; whoever waits clears it."""
        self.start()
        changed = asyncio.Event()
        changed.set()
        self._viewers.add(changed)
        try:
            yield changed
        finally:
            self._viewers.discard(changed)
            self._left_at = monotonic()

    @property
    def viewers(self) -> int:
        """How many look."""
        return len(self._viewers)

    def start(self) -> None:
        """Begin to follow, unless that goes on already."""
        if self._task is None or self._task.done():
            self._left_at = monotonic()
            self._task = asyncio.create_task(self._follow(), name="dashboard rows")

    def rows(self) -> list[Row]:
        """All rows."""
        return [row for _, row in self._rows.values()]

    def since(self, turn: int) -> Delta:
        """What changed after a turn."""
        rows = []
        for run_id, at in reversed(self._changed.items()):
            if at <= turn:
                break
            rows.append(self._rows[run_id][1])
        return Delta(turn=self.turn, rows=rows, gone=[run_id for at, run_id in self._gone if at > turn])

    def counts(self) -> dict[str, int]:
        """How many runs of each status; counted anew at most every ``COUNT_SECONDS``, for all viewers together."""
        at, position, counts = self._counts
        now = monotonic()
        if position != self._context.read_model.position and now - at >= COUNT_SECONDS:
            counts = self._context.read_model.status_counts()
            self._counts = (now, self._context.read_model.position, counts)
        return counts

    async def _follow(self) -> None:
        async with self._context.read_model.subscribe() as changes:
            sampling = asyncio.create_task(self._follow_samples(), name="dashboard samples")
            try:
                await self._load()
                async for change in changes:
                    if change.missed:
                        await self._load()
                    elif change.run is not None:
                        self._put(change.run)
                    if not self._viewers and monotonic() - self._left_at > IDLE_SECONDS:
                        return
            except Ending:
                return
            finally:
                sampling.cancel()
                with suppress(asyncio.CancelledError):
                    await sampling

    async def _load(self) -> None:
        """Read every open run and the newest ones, a page at a time, so that requests are served meanwhile."""
        for run_id in tuple(self._open):
            self._put_current(run_id)
        await self._load_pages(tuple(OPEN))
        await self._load_pages(())

    async def _load_pages(self, statuses: tuple[Status, ...]) -> None:
        cursor: str | None = None
        for _ in range(MOST_ROWS // _PAGE):
            page = self._context.read_model.runs(RunFilter(status=statuses, limit=_PAGE, cursor=cursor))
            for run in page.items:
                self._put(run, newest=False)
            cursor = page.next_cursor
            await asyncio.sleep(0)
            if cursor is None or len(self._rows) >= MOST_ROWS:
                return

    async def _follow_samples(self) -> None:
        async with self._context.telemetry.subscribe() as hosts:
            with suppress(Ending):
                async for changed in hosts:
                    for run_id in self._open:
                        self._sample(run_id, changed)
                    await asyncio.sleep(SAMPLE_SECONDS)

    def _sample(self, run_id: str, hosts: frozenset[str]) -> None:
        row = self._rows[run_id][1]
        if row["host"] not in hosts:
            return
        used = self._context.telemetry.resources(run_id)
        cpu, memory = (round(used.cpu_percent), used.rss_bytes) if used else (None, None)
        if (row["cpu"], row["memory"]) != (cpu, memory):
            self._show({**row, "cpu": cpu, "memory": memory})

    def _put_current(self, run_id: str) -> None:
        run = self._context.read_model.run(run_id)
        if run is not None:
            self._put(run)

    def _put(self, run: Run, *, newest: bool = True) -> None:
        before = self._rows.get(run.run_id)
        if before is not None and before[1]["seq"] > run.seq:
            return
        if before is None and not newest and len(self._rows) >= MOST_ROWS:
            return
        row = row_of(run)
        if before is not None and before[1] == row:
            return
        if run.status.ended:
            self._open.discard(run.run_id)
        else:
            self._open.add(run.run_id)
        self._show(row)
        if len(self._rows) > MOST_ROWS:
            self._make_room()

    def _show(self, row: Row) -> None:
        run_id = row["run_id"]
        self.turn += 1
        self._rows[run_id] = (self.turn, row)
        self._changed.pop(run_id, None)
        self._changed[run_id] = self.turn
        for viewer in self._viewers:
            viewer.set()

    def _make_room(self) -> None:
        """Let the oldest ended runs go, a tenth at once; open ones stay, however old."""
        ended = [row for _, row in self._rows.values() if row["ended"] is not None]
        for row in sorted(ended, key=lambda row: row["created"])[: MOST_ROWS // 10]:
            del self._rows[row["run_id"]]
            del self._changed[row["run_id"]]
            self._gone.append((self.turn, row["run_id"]))


def row_of(run: Run) -> Row:
    """What the table shows of a run: plain values, set as text by the browser. Times are milliseconds."""
    stuck = next((one.verdict or "stuck" for one in run.conditions if one.type == "stuck"), None)
    shown = run.resources if not run.status.ended else None
    share = words.share(run.progress)
    if run.status is Status.COMPLETED and share is None:
        share = 1.0
    return {
        "run_id": run.run_id,
        "seq": run.seq,
        "workflow": run.workflow,
        "status": str(run.status),
        "stuck": stuck.replace("_", " ") if stuck else None,
        "share": round(share, 3) if share is not None else None,
        "progress": words.saying(run),
        "created": int(run.created_at.timestamp() * 1000),
        "started": int(run.started_at.timestamp() * 1000) if run.started_at else None,
        "ended": int(run.ended_at.timestamp() * 1000) if run.ended_at else None,
        "host": run.host or "",
        "cpu": round(shown.cpu_percent) if shown else None,
        "memory": shown.rss_bytes if shown else None,
        "by": run.requested_by,
    }
