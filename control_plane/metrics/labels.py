"""Values of labels, and how many there may be: every series costs memory for as long as Prometheus keeps it."""

from collections.abc import Iterable
from typing import Final

OTHER: Final = "other"
MAX_WORKFLOWS = 50
"""Workflows that have a label of their own: those of which a run ended first, so that a name never moves."""
MAX_HOSTS = 200
VERDICTS: Final = (
    "silent", "idle", "spinning", "looping", "waiting_for_input", "waiting_on_io", "waiting_on_child", "awaiting_api",
    "step_overrun", "finished_but_alive", "stopped", "host_unreachable",
)  # fmt: skip


def first_names(names: Iterable[str], limit: int) -> frozenset[str]:
    """The first ``limit`` different names."""
    found: dict[str, None] = {}
    for name in names:
        if len(found) >= limit:
            break
        found[name] = None
    return frozenset(found)
