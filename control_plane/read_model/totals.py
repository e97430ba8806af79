"""What has happened so far, counted: records by type, endings, how long starts and kills took, notifications.

Every figure follows from the log: it is counted from the file once when that is opened, and goes on with each record
that is projected. So it is the same after a restart, agrees with the list of events, and only ever grows.
Durations are between moments of the broker's clock, so a host whose clock is wrong falsifies none.
"""

import bisect
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from control_plane.read_model.projection import Projected
from runplane.contract.events import NotificationDelivered, NotificationFailed, ProcessSpawned, RunKilled

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of a duration's buckets, in seconds."""
_MICROS = 1_000_000

# The unary plus keeps SQLite from looking through all records of a type for each run.
_STARTS = """
SELECT spawned.time - asked.time FROM records spawned
JOIN runs ON runs.run_id = spawned.run_id
JOIN records asked ON asked.seq = runs.first_seq AND asked.type = 'StartRun'
WHERE spawned.type = 'ProcessSpawned' AND spawned.seq = (
    SELECT min(seq) FROM records WHERE run_id = spawned.run_id AND +type = 'ProcessSpawned'
)
"""
_KILLS = """
SELECT ending.time - (
    SELECT min(time) FROM records WHERE command_id = ending.command_id AND +kind = 'cmd'
) FROM records ending
JOIN endings ON endings.seq = ending.seq
WHERE ending.type = 'RunKilled' AND ending.command_id IS NOT NULL
"""
_RESULTS = {"NotificationDelivered": "delivered", "NotificationFailed": "failed"}
_NOTIFICATIONS = """
SELECT json_extract(CAST(payload AS TEXT), '$.data.target'), type, count(*) FROM records
WHERE type IN ('NotificationDelivered', 'NotificationFailed') GROUP BY 1, 2 ORDER BY min(seq)
"""


@dataclass(kw_only=True, slots=True)
class Durations:
    """How many took at most so long; ``counts`` has one more place than ``BOUNDS``, for those that took longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.sum_seconds += seconds


class Totals:
    """``endings`` by workflow and outcome, ``notifications`` by target and result, in the order of their first one."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        """Count what the file holds."""
        self._reader = reader
        self.records: Counter[str] = Counter(
            dict(reader.execute("SELECT type, count(*) FROM records GROUP BY type").fetchall())
        )
        self.endings: Counter[tuple[str, str]] = Counter()
        for workflow, outcome, count in reader.execute(
            "SELECT workflow, outcome, count(*) FROM endings GROUP BY workflow, outcome ORDER BY min(seq)"
        ):
            self.endings[workflow, outcome] = count
        self.notifications: Counter[tuple[str, str]] = Counter()
        for target, kind, count in reader.execute(_NOTIFICATIONS):
            self.notifications[target, _RESULTS[kind]] = count
        self.starts = self._durations(_STARTS)
        self.kills = self._durations(_KILLS)

    def take(self, projected: Sequence[Projected]) -> None:
        """Count what was just committed."""
        for one in projected:
            self.records[one.envelope.type] += 1
            if one.ended and one.state is not None and one.state.run is not None:
                self.endings[one.state.run.workflow, str(one.state.run.status)] += 1
            if isinstance(one.envelope.data, NotificationDelivered | NotificationFailed):
                self.notifications[one.envelope.data.target, _RESULTS[one.envelope.type]] += 1
            elif isinstance(one.envelope.data, ProcessSpawned):
                self._measure(self.starts, f"{_STARTS} AND spawned.seq = ?", one.seq)
            elif isinstance(one.envelope.data, RunKilled):
                self._measure(self.kills, f"{_KILLS} AND ending.seq = ?", one.seq)

    def _durations(self, query: str) -> Durations:
        found = Durations()
        for (micros,) in self._reader.execute(query):
            _add(found, micros)
        return found

    def _measure(self, durations: Durations, query: str, seq: int) -> None:
        row = self._reader.execute(query, (seq,)).fetchone()
        if row is not None:
            _add(durations, row[0])


def _add(durations: Durations, micros: int | None) -> None:
    if micros is not None:
        durations.add(max(0, micros) / _MICROS)
