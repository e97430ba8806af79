"""How many attempts of a workflow may be repeated before that is called a crash loop. Pure.

A workflow that fails at once, again and again, is a burden on its hosts and on whatever it talks to. Within
:data:`WINDOW` it has :data:`BASE` attempts free, and :data:`PER_RUN` more for each run that failed: many runs that fail
once are no loop. Beyond that each attempt waits longer, in proportion to how far the budget is exceeded.
"""

from datetime import timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=10)
BASE: Final = 10
PER_RUN: Final = 3
LEAST_SLOW_SECONDS: Final = 10.0
MOST_SLOW_SECONDS: Final = 900.0


def slowed(delay_seconds: float, *, failed: int, runs: int) -> float | None:
    """The wait after ``failed`` failed attempts of ``runs`` runs within the window; None where it stays as it is."""
    budget = BASE + PER_RUN * runs
    if failed <= budget:
        return None
    longer = max(delay_seconds, LEAST_SLOW_SECONDS) * (1 + (failed - budget) / budget)
    return max(delay_seconds, min(longer, MOST_SLOW_SECONDS))
