"""A run's output on the way to the reader: whole lines without control sequences on a terminal, as it is in a pipe."""

from collections.abc import Callable

from runplane.cli.terminal import clean
from runplane.client import OutputItem

LONGEST_LINE = 64 * 1024


class OutputPrinter:
    """Takes pieces of any stream and hands on text. Lines of different streams are not mixed on a terminal."""

    def __init__(self, write: Callable[[str], None], *, on_terminal: bool) -> None:
        """``write`` takes text as it is to appear."""
        self._write = write
        self._on_terminal = on_terminal
        self._begun: dict[tuple[int, str], str] = {}

    def take(self, item: OutputItem) -> None:
        """One piece, in the order of its stream."""
        if not self._on_terminal:
            self._write(item.text)
            return
        place = (item.attempt, item.stream)
        lines, _, rest = (self._begun.pop(place, "") + item.text).rpartition("\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = f"{lines}\n{rest}" if lines else rest, ""
        if lines:
            self._write(f"{clean(lines)}\n")
        if rest:
            self._begun[place] = rest

    def finish(self) -> None:
        """Hand on lines that were begun and not ended."""
        for rest in self._begun.values():
            self._write(f"{clean(rest)}\n")
        self._begun.clear()
