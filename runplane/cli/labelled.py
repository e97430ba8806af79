"""A headline, and lines that each have a label: the form of a receipt, of a run, of a workflow.

A line too long for the terminal goes on under itself, not under its label.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

GAP = 2


def labelled(headline: "Text", lines: Iterable[tuple[str, str]], *, label_width: int) -> "Group":
    """The headline over the lines; a label that repeats the one before is not shown again."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True, style="dim", width=label_width)
    grid.add_column(overflow="fold")
    before = ""
    for label, line in lines:
        grid.add_row("" if label == before else label, Text(line))
        before = label or before
    return Group(headline, Padding(grid, (0, 0, 0, GAP)))
