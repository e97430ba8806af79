"""The rows of the live table, kept once for all viewers, and what changed of them, tick by tick.

Fed by the read model's changes and by what hosts sample, never by asking around; nothing is done while nobody looks. A
tick is made at most every ``TICK_SECONDS``: the fields that changed, encoded once however many look. A viewer takes the
ticks it has not seen; one that is too far behind, or was away, begins again with all rows. So no viewer, slow or gone,
makes anything grow. The rows are every open run and the newest ended ones, ``MOST_ROWS`` of them.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.read_model import RunFilter
from control_plane.read_model.changes import Ending
from runplane.contract.run import OPEN, Run, Status

MOST_ROWS = 5_000
IDLE_SECONDS = 60.0
"""How long the rows are kept up to date after the last viewer has left."""
SAMPLE_SECONDS = 0.5
COUNT_SECONDS = 0.5
TICK_SECONDS = 0.5
TICKS_KEPT = 20
SPARK_POINTS = 24
_PAGE = 50

Row = dict[str, Any]


class LiveRows:
    """Rows by run id. ``turn`` counts the ticks."""

    def __init__(self, context: Context) -> None:
        """Empty; the first viewer fills it."""
        self._context = context
        self._rows: dict[str, Row] = {}
        self._told: dict[str, Row] = {}
        self._pending: dict[str, Run] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._ticks: deque[str] = deque(maxlen=TICKS_KEPT)
        self._open: set[str] = set()
        self._viewers: set[asyncio.Event] = set()
        self._left_at = monotonic()
        self._task: asyncio.Task[None] | None = None
        self._dirty = asyncio.Event()
        self._counts: tuple[float, int, dict[str, int]] = (0.0, -1, {})
        self.turn = 0

    @contextmanager
    def viewer(self) -> Iterator[asyncio.Event]:
        """An event that is set with every tick, for as long as the block lasts; whoever waits clears it."""
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
        """All rows, as they were at :attr:`turn`."""
        return list(self._told.values())

    def since(self, turn: int) -> list[str] | None:
        """The ticks after a turn, each a JSON text ``[patches, gone]``; None where they are not kept any more."""
        missed = self.turn - turn
        if missed > len(self._ticks):
            return None
        return list(self._ticks)[len(self._ticks) - missed :] if missed else []

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
            beside = [
                asyncio.create_task(self._follow_samples(), name="dashboard samples"),
                asyncio.create_task(self._tick_for_ever(), name="dashboard ticks"),
            ]
            try:
                await self._load()
                async for change in changes:
                    if change.missed:
                        await self._load()
                    elif change.run is not None:
                        self._pending[change.run.run_id] = change.run
                        self._dirty.set()
                    if not self._viewers and monotonic() - self._left_at > IDLE_SECONDS:
                        return
            except Ending:
                return
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

    async def _tick_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self.tick()
            await asyncio.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Tell what has changed since the last tick: of known rows the fields that differ, of new ones all."""
        for run in self._pending.values():  # of a run that changed often, only the last
            self._put(run)
        self._pending.clear()
        patches = []
        for run_id in self._changed - self._gone:
            row, told = self._rows[run_id], self._told.get(run_id)
            if told is None:
                patches.append(row)
            elif patch := {name: value for name, value in row.items() if told[name] != value}:
                patches.append({"run_id": run_id, **patch})
            self._told[run_id] = row
        gone = [run_id for run_id in self._gone if self._told.pop(run_id, None) is not None]
        self._changed.clear()
        self._gone.clear()
        if patches or gone:
            self.turn += 1
            self._ticks.append(json.dumps([patches, gone], ensure_ascii=False, separators=(",", ":")))
        for viewer in self._viewers:
            viewer.set()

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
                    for run_id in self._context.telemetry.runs_of(changed):
                        self._sample(run_id)
                    self._dirty.set()  # hosts have changed, too
                    await asyncio.sleep(SAMPLE_SECONDS)

    def _sample(self, run_id: str) -> None:
        row = self._rows.get(run_id)
        if row is None or row["ended"] is not None:
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
        if before is not None and before["seq"] > run.seq:
            return
        if before is None and not newest and len(self._rows) >= MOST_ROWS:
            return
        row = row_of(run)
        if before is not None:
            row["spark"] = before["spark"]
        elif not run.status.ended:
            row["spark"] = self._spark(run.run_id)
        if before is not None and before == row:
            return
        if run.status.ended:
            self._open.discard(run.run_id)
        else:
            self._open.add(run.run_id)
        self._show(row)
        if len(self._rows) > MOST_ROWS:
            self._make_room()

    def _spark(self, run_id: str) -> list[int]:
        """The course of its CPU so far; the browser goes on with it."""
        return [round(one.cpu_percent) for one in self._context.telemetry.samples(run_id)[-SPARK_POINTS:]]

    def _show(self, row: Row) -> None:
        run_id = row["run_id"]
        self._rows[run_id] = row
        self._gone.discard(run_id)
        self._changed.add(run_id)
        self._dirty.set()

    def _make_room(self) -> None:
        """Let the oldest ended runs go, a tenth at once; open ones stay, however old."""
        ended = [row for row in self._rows.values() if row["ended"] is not None]
        for row in sorted(ended, key=lambda row: row["created"])[: MOST_ROWS // 10]:
            del self._rows[row["run_id"]]
            self._gone.add(row["run_id"])
        self._dirty.set()


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
        "spark": [],
        "by": run.requested_by,
    }
