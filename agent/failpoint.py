"""Failpoints: the agent kills itself with SIGKILL at a named place, so that a test can crash it exactly there.

``RUNPLANE_FAILPOINT=journal.before:3`` kills it when it passes ``journal.before`` for the third time; several are
parted by commas, and the first that is reached counts. Armed by the composition root alone: unless the variable is
set, passing a place costs one look at an empty dictionary. Standard library alone, so that every wing may use it.
"""

import os
import signal
from collections import Counter

VARIABLE = "RUNPLANE_FAILPOINT"
PLACES = (
    "journal.before", "journal.after",  # a write with its fsync
    "rewrite.before", "rewrite.after",  # the journal put in the place of the former one
    "spawn.before", "spawn.during", "spawn.after",  # a launch; during: the shim knows what to start
    "publish.before", "publish.after",  # a claim or a fact
    "ship.before", "ship.after",  # a piece of output, or its end
    "end.before", "end.after",  # a tree's ending by order, from the first signal to the proof
    "ack.before", "ack.after",  # the answer to the broker about an order
)  # fmt: skip

_armed: dict[str, int] = {}
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Take the setting, ``PLACE:N`` parted by commas; empty for none. ValueError names what is wrong with it."""
    taken: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        place, _, number = entry.partition(":")
        if place not in PLACES or not number.isdigit() or int(number) < 1:
            known = ", ".join(PLACES)
            raise ValueError(f"{VARIABLE}: {entry!r} is not PLACE:N, with N from 1 and one of {known}")
        taken[place] = int(number)
    _armed.clear()
    _armed.update(taken)
    _passed.clear()


def passing(place: str) -> None:
    """Die here if it is armed for this passing."""
    if _armed:
        _pass(place)


def passed() -> dict[str, int]:
    """How often each place was passed since something was armed."""
    return dict(_passed)


def _pass(place: str) -> None:
    _passed[place] += 1
    if _passed[place] == _armed.get(place):
        os.kill(os.getpid(), signal.SIGKILL)
