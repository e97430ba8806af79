"""How fast a run comes on, and when it is expected to end. Pure; a figure is given only where something was seen.

The rate is smoothed exponentially over the reports, so that it follows a run that becomes faster or slower.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from runplane.contract.events import ProgressReported
from runplane.contract.run import Progress, Run, Status

SMOOTHING = 0.3
"""The weight of the newest stretch."""
LEAST_SHARE = 0.02
"""Below so much of the whole, a rate says nothing of the end."""
LEAST_RUNS = 3
_LONGEST = timedelta(days=365)


def progressed(before: Progress | None, told: ProgressReported, at: datetime) -> Progress:
    """The progress after a report. Where it went back, or counts something else, the rate begins anew."""
    progress = Progress(updated_at=at, advanced_at=at, **told.model_dump())
    if before is None or before.done is None or progress.done is None or progress.done < before.done:
        return progress
    if (before.total, before.unit) != (progress.total, progress.unit):
        return progress
    since = before.advanced_at or before.updated_at
    seconds = (at - since).total_seconds()
    if seconds <= 0 or progress.done == before.done:
        return progress.model_copy(update={"rate": before.rate, "advanced_at": since})
    newest = (progress.done - before.done) / seconds
    rate = newest if before.rate is None else SMOOTHING * newest + (1 - SMOOTHING) * before.rate
    return progress.model_copy(update={"rate": round(rate, 6)})


def expected_end(run: Run, earlier_seconds: Sequence[float]) -> datetime | None:
    """When an open run is expected to end; None where that would be a guess.

    ``earlier_seconds``: how long the last completed runs of the workflow took. Of a run that is held, stuck or being
    ended, nothing is expected.
    """
    if run.status is not Status.RUNNING or run.started_at is None or run.conditions:
        return None
    progress = run.progress
    if progress is not None and progress.total and progress.done is not None:
        return _by_rate(progress)
    if len(earlier_seconds) < LEAST_RUNS:
        return None
    return run.started_at + min(_LONGEST, timedelta(seconds=median(earlier_seconds)))


def _by_rate(progress: Progress) -> datetime | None:
    done, total, rate = progress.done or 0.0, progress.total or 0.0, progress.rate
    if not rate or rate <= 0 or total <= 0 or done < LEAST_SHARE * total or done >= total:
        return None
    left = (total - done) / rate
    return progress.updated_at + timedelta(seconds=left) if left < _LONGEST.total_seconds() else None
