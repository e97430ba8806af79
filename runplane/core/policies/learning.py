"""What ``auto`` means for a workflow that has run before: its own quiet gaps and step times, with room above them.

Pure. Only runs that ended well teach anything: whatever was quiet in them was not stuck. The room is wide, since a
false alarm costs trust and a late one only minutes; the floor keeps a workflow that always chatters from being nagged.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from runplane.contract.spec import Learned, Usual

LEAST_RUNS = 5
"""Fewer teach nothing."""
ABOVE_LONGEST = 3.0
ABOVE_USUAL = 6.0
LEAST_QUIET_SECONDS = 60.0
LEAST_STEP_SECONDS = 30.0
MOST_SECONDS = 24 * 3600.0
MOST_STEPS = 50


def learned(quiet: Sequence[float], steps: Mapping[str, Sequence[float]]) -> Learned | None:
    """From the longest quiet gap of each run and the times of each step, in seconds; None where it is too little."""
    silent = _usual(quiet, least=LEAST_QUIET_SECONDS)
    known = {
        name: usual for name, taken in steps.items() if (usual := _usual(taken, least=LEAST_STEP_SECONDS))
    }
    if silent is None and not known:
        return None
    often = sorted(known, key=lambda name: (-known[name].times, name))[:MOST_STEPS]
    return Learned(quiet=silent, steps={name: known[name] for name in sorted(often)})


def _usual(seen: Sequence[float], *, least: float) -> Usual | None:
    if len(seen) < LEAST_RUNS:
        return None
    usual, longest = median(seen), max(seen)
    limit = min(MOST_SECONDS, max(least, ABOVE_LONGEST * longest, ABOVE_USUAL * usual))
    return Usual(times=len(seen), usual=round(usual, 3), longest=round(longest, 3), limit=round(limit, 3))
