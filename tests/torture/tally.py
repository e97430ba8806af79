"""How often each guarantee was tried and how often it held: what `make torture` makes its table of.

In an ordinary run of the tests the counts are small and nothing is written. With ``RUNPLANE_TORTURE=FILE`` they are
large, and each part appends its lines to that file, also when something did not hold.
"""

import json
import os
from collections import Counter
from pathlib import Path

VARIABLE = "RUNPLANE_TORTURE"


def results() -> Path | None:
    """The file for the results of a torture run; None in an ordinary run of the tests."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


class Tally:
    """Counts for one part. ``held`` once for every try and guarantee; ``check`` at the end names what did not hold."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.tried: Counter[str] = Counter()
        self.broken: list[tuple[str, str]] = []

    def held(self, guarantee: str, holds: bool, what: str) -> None:
        """Count one try; ``what`` says what was seen where it did not hold."""
        self.tried[guarantee] += 1
        if not holds:
            self.broken.append((guarantee, what))

    def write(self, file: Path) -> None:
        failed = Counter(guarantee for guarantee, _ in self.broken)
        with file.open("a", encoding="utf-8") as out:
            for guarantee, tried in sorted(self.tried.items()):
                line = {
                    "part": self.part,
                    "guarantee": guarantee,
                    "tried": tried,
                    "held": tried - failed[guarantee],
                }
                out.write(json.dumps(line) + "\n")

    def check(self) -> None:
        assert self.tried, f"{self.part}: nothing was tried"
        shown = "\n".join(f"{guarantee}: {what}" for guarantee, what in self.broken[:20])
        assert not self.broken, f"{len(self.broken)} of {self.tried.total()} did not hold:\n{shown}"
