"""The end of what a run prints: whether it grew, its last line, whether it repeats itself. For the stuck detector."""

import os
from pathlib import Path

from agent.watch.repetition import Repetition

_TAIL_BYTES = 64 << 10


class OutputTail:
    """One stream of output, read on from where it was; of much at once, only the end."""

    def __init__(self, path: Path) -> None:
        """Nothing is read before :meth:`read_on`."""
        self._path = path
        self._offset: int | None = None
        self.repetition = Repetition()
        self.last_line = ""
        self.grew_at = 0.0

    def read_on(self, now: float) -> bool:
        """Whether it grew since the last look. The first look sees how it stands."""
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116 - a hot path
        except OSError:
            return False
        first = self._offset is None
        if size == (self._offset or 0):
            self._offset = size
            return False
        begin = max(self._offset or 0, size - _TAIL_BYTES)
        try:
            with self._path.open("rb") as file:
                file.seek(begin)
                content = file.read(size - begin)
        except OSError:
            return False
        self._offset = size
        self.repetition.feed(content, now)
        lines = content.decode("utf-8", "replace").split("\n")
        self.last_line = next((line.strip() for line in reversed(lines) if line.strip()), self.last_line)[
            -400:
        ]
        self.grew_at = now
        return not first
