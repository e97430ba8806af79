"""The runs that ``ps --watch`` shows, kept by deltas: what the stream tells, and samples of those that are on screen.

No clock and no I/O: moments are arguments. A run that no longer matches stays for ``LINGER_SECONDS``, so that one sees
how it ended. What is told twice, late or out of order changes nothing: of a run, the newer log position counts.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from runplane.cli.run_words import stuck_of
from runplane.contract.run import AWAITING_DECISION, Resources, Run

LINGER_SECONDS = 5.0
SAMPLES = 24
"""Samples of CPU that are kept of a run."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs: of any of these statuses (none: of all), of this workflow, on this host, that look stuck."""

    statuses: frozenset[str] = frozenset()
    workflow: str | None = None
    host: str | None = None
    stuck: bool = False

    def matches(self, run: Run) -> bool:
        """Whether the list that was asked for holds the run."""
        return (
            (
                not self.statuses
                or str(run.status) in self.statuses
                or (AWAITING_DECISION in self.statuses and run.awaits_decision)
            )
            and self.workflow in (None, run.workflow)
            and self.host in (None, run.host)
            and (not self.stuck or stuck_of(run) is not None)
        )


@dataclass(kw_only=True)
class Watched:
    """One run on the screen: as it stands, its last samples, and since when it no longer matches."""

    run: Run
    cpu: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    sampled_at: object = None
    leaves_at: float | None = None


class WatchedRuns:
    """At most ``limit`` runs, the newest first."""

    def __init__(self, wanted: Wanted, limit: int) -> None:
        """Nothing is known yet."""
        self.wanted = wanted
        self._limit = limit
        self._runs: dict[str, Watched] = {}

    def __iter__(self) -> Iterator[Watched]:
        """The newest first."""
        return iter(
            sorted(self._runs.values(), key=lambda one: (one.run.created_at, one.run.run_id), reverse=True)
        )

    def __len__(self) -> int:
        """How many are shown, those that are leaving included."""
        return len(self._runs)

    def take(self, run: Run, now: float) -> bool:
        """A run as the stream tells it; whether that is news to whoever watches these runs."""
        known = self._runs.get(run.run_id)
        if known is not None and run.seq <= known.run.seq:
            return False
        matches = self.wanted.matches(run)
        if known is None:
            if matches:
                self._add(run)
            return matches
        was_leaving = known.leaves_at is not None
        self._see(
            known, run if run.resources is not None or run.status.ended else _with(run, known.run.resources)
        )
        known.leaves_at = None if matches else known.leaves_at or now + LINGER_SECONDS
        return matches or not was_leaving

    def sample(self, runs: Sequence[Run], now: float, *, position: int, is_all: bool) -> None:
        """The newest runs that match, as they were just read at a log position: their samples, and whether their hosts
        are heard from, which no record tells. One that should be among them and is not no longer matches.
        """
        for run in runs:
            known = self._runs.get(run.run_id)
            if known is None:
                self._add(run)
            elif run.seq >= known.run.seq:
                self._see(known, run)
        read = {run.run_id for run in runs}
        oldest = min((run.created_at for run in runs), default=None)
        for run_id, one in self._runs.items():
            is_covered = is_all or (oldest is not None and one.run.created_at > oldest)
            if run_id not in read and is_covered and one.run.seq <= position and one.leaves_at is None:
                one.leaves_at = now + LINGER_SECONDS

    def expire(self, now: float) -> bool:
        """Let go of those that have been leaving for long enough; whether there were any."""
        over = [
            run_id for run_id, one in self._runs.items() if one.leaves_at is not None and one.leaves_at <= now
        ]
        for run_id in over:
            del self._runs[run_id]
        return bool(over)

    def _add(self, run: Run) -> None:
        watched = Watched(run=run)
        self._see(watched, run)
        self._runs[run.run_id] = watched
        if len(self._runs) > self._limit:
            oldest = list(self)[-1]
            del self._runs[oldest.run.run_id]

    def _see(self, watched: Watched, run: Run) -> None:
        watched.run = run
        sample = run.resources
        if sample is not None and sample.sampled_at != watched.sampled_at:
            watched.sampled_at = sample.sampled_at
            watched.cpu.append(sample.cpu_percent)


def _with(run: Run, resources: Resources | None) -> Run:
    return run.model_copy(update={"resources": resources})
