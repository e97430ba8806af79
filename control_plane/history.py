"""The course of what runs used, kept by age and size: the finer, the shorter.

Owned by the telemetry, which alone adds; the API and the dashboard read. Samples are gathered into points of 10 s, a
minute and ten minutes (mean and greatest), which are stored in a file of their own with one transaction a flush. It
holds nothing that matters to the state of a run: where it is damaged or cannot be written, it begins anew or has a gap.
"""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from control_plane.read_model.schema import micros, moment
from runplane.contract.run import ResourcePoint, Resources

log = logging.getLogger("control_plane.history")

TIERS: dict[int, timedelta] = {
    10: timedelta(hours=1),
    60: timedelta(days=1),
    600: timedelta(days=30),
}
"""Seconds a point, and for how long such points are kept."""
MOST_POINTS = 2_000_000
MOST_WAITING = 50_000
_PRUNE_EVERY = 32
_TABLE = """
CREATE TABLE IF NOT EXISTS points (
    run_id TEXT NOT NULL, seconds INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL NOT NULL, cpu_max REAL NOT NULL,
    rss INTEGER NOT NULL, rss_max INTEGER NOT NULL, pss INTEGER, processes INTEGER NOT NULL, threads INTEGER NOT NULL,
    open_files INTEGER NOT NULL, sockets INTEGER, io_read INTEGER NOT NULL, io_write INTEGER NOT NULL,
    PRIMARY KEY (run_id, seconds, at)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS points_by_age ON points (seconds, at);
"""
_KEEP = """
INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    cpu = excluded.cpu, cpu_max = max(cpu_max, excluded.cpu_max), rss = excluded.rss,
    rss_max = max(rss_max, excluded.rss_max), pss = excluded.pss, processes = excluded.processes,
    threads = excluded.threads, open_files = excluded.open_files, sockets = excluded.sockets,
    io_read = excluded.io_read, io_write = excluded.io_write
"""
"""A stretch is stored again where the control plane was started anew within it: what was highest stays."""
_Row = tuple[str, int, int, float, float, int, int, int | None, int, int, int, int | None, int, int]


@dataclass(slots=True)
class _Bucket:
    """What is gathered of one run for the point that begins ``at``."""

    at: int
    last: Resources
    count: int = 0
    cpu: float = 0.0
    cpu_max: float = 0.0
    rss: int = 0
    rss_max: int = 0

    def add(self, sample: Resources) -> None:
        self.last = sample
        self.count += 1
        self.cpu += sample.cpu_percent
        self.cpu_max = max(self.cpu_max, sample.cpu_percent)
        self.rss += sample.rss_bytes
        self.rss_max = max(self.rss_max, sample.rss_bytes)

    def row(self, run_id: str, seconds: int) -> _Row:
        last = self.last
        return (
            run_id, seconds, self.at, round(self.cpu / self.count, 2), self.cpu_max, self.rss // self.count,
            self.rss_max, last.pss_bytes, last.processes, last.threads, last.open_files, last.sockets,
            last.io_read_bytes, last.io_write_bytes,
        )  # fmt: skip


class History:
    """One file. Nothing of it is shared with another process."""

    def __init__(self, path: Path) -> None:
        """Open the file, or begin a new one where it is damaged."""
        self._path = path
        self._connection = _open(path)
        self._open: dict[tuple[str, int], _Bucket] = {}
        self._waiting: list[_Row] = []
        self._flushes = 0
        self._is_faulty = False

    def add(self, run_id: str, sample: Resources) -> None:
        """Take in a sample; points that are complete wait for :meth:`flush`."""
        at = micros(sample.sampled_at)
        for seconds in TIERS:
            begin = at - at % (seconds * 1_000_000)
            bucket = self._open.get((run_id, seconds))
            if bucket is not None and bucket.at != begin:
                self._keep(bucket.row(run_id, seconds))
                bucket = None
            if bucket is None:
                bucket = self._open[run_id, seconds] = _Bucket(at=begin, last=sample)
            bucket.add(sample)

    def end(self, run_id: str) -> None:
        """The run has ended: what was gathered of it is a point."""
        for seconds in TIERS:
            bucket = self._open.pop((run_id, seconds), None)
            if bucket is not None:
                self._keep(bucket.row(run_id, seconds))

    def flush(self, now: datetime) -> None:
        """Store what waits, and now and then let go of what is too old or too much."""
        if not self._waiting:
            return
        try:
            with self._connection:
                self._connection.executemany(
                    _KEEP,
                    self._waiting,
                )
                self._flushes += 1
                if self._flushes % _PRUNE_EVERY == 1:
                    self._prune(now)
        except sqlite3.Error as error:
            if not self._is_faulty:
                log.warning("the course of what runs use cannot be stored, so it has a gap: %s", error)
            self._is_faulty = True
            return
        self._is_faulty = False
        self._waiting.clear()

    def points(self, run_id: str, since: datetime | None = None) -> list[ResourcePoint]:
        """What is known of the run, oldest first: fine points where there are any, coarser ones before them."""
        found: list[ResourcePoint] = []
        until: int | None = None
        for seconds in TIERS:
            rows = [*self._stored(run_id, seconds, since), *self._gathered(run_id, seconds)]
            part = [_point(row) for row in rows if until is None or row[2] + seconds * 1_000_000 <= until]
            found = [*part, *found]
            until = micros(found[0].sampled_at) if found else None
        return [point for point in found if since is None or point.sampled_at > since]

    def close(self) -> None:
        """Store what is there, complete or not."""
        for run_id, _ in list(self._open):
            self.end(run_id)
        self.flush(moment(0))
        self._connection.close()

    def _keep(self, row: _Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[: MOST_WAITING // 10]

    def _stored(self, run_id: str, seconds: int, since: datetime | None) -> Iterator[_Row]:
        try:
            yield from self._connection.execute(
                "SELECT * FROM points WHERE run_id = ? AND seconds = ? AND at > ? ORDER BY at",
                (run_id, seconds, micros(since) - seconds * 1_000_000 if since is not None else -1),
            ).fetchall()
        except sqlite3.Error as error:
            log.warning("the course of %s cannot be read: %s", run_id, error)

    def _gathered(self, run_id: str, seconds: int) -> Iterator[_Row]:
        """What is not stored yet."""
        yield from (row for row in self._waiting if row[0] == run_id and row[1] == seconds)
        bucket = self._open.get((run_id, seconds))
        if bucket is not None:
            yield bucket.row(run_id, seconds)

    def _prune(self, now: datetime) -> None:
        for seconds, age in TIERS.items():
            self._connection.execute(
                "DELETE FROM points WHERE seconds = ? AND at < ?", (seconds, micros(now - age))
            )
        (count,) = self._connection.execute("SELECT count(*) FROM points").fetchone()
        if count > MOST_POINTS:
            self._connection.execute(
                "DELETE FROM points WHERE (run_id, seconds, at) IN "
                "(SELECT run_id, seconds, at FROM points ORDER BY at LIMIT ?)",
                (count - MOST_POINTS + MOST_POINTS // 10,),
            )


def _point(row: _Row) -> ResourcePoint:
    _, seconds, at, cpu, cpu_max, rss, rss_max, pss, processes, threads, files, sockets, read, written = row
    return ResourcePoint(
        resolution_seconds=seconds, sampled_at=moment(at), cpu_percent=cpu, cpu_percent_max=cpu_max, rss_bytes=rss,
        rss_bytes_max=rss_max, pss_bytes=pss, processes=processes, threads=threads, open_files=files, sockets=sockets,
        io_read_bytes=read, io_write_bytes=written,
    )  # fmt: skip


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.set-aside")
        log.warning("%s is damaged (%s): kept as %s, and begun anew", path.name, error, aside.name)
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_TABLE)
    except BaseException:
        connection.close()
        raise
    path.chmod(0o600)
    return connection
