"""How a held run is shown: where, the lines around it, the calls that led there, and the variables."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runplane.cli.terminal import clean, draw, one_line, plain, say, write
from runplane.contract.debugging import Frame, Scope, Variable, Variables, shown_value
from runplane.contract.run import Run

if TYPE_CHECKING:
    from rich.text import Text

_LONGEST = 100
_MOST_CALLS = 12


def draw_held(run: Run, seen: Variables) -> None:
    """Where it is held and what can be seen there."""
    reason = f" ({one_line(run.held.reason)})" if run.held is not None and run.held.reason else ""
    where = (
        f"held at {one_line(seen.held_at)}" if seen.held_at else "paused: all of its processes stand still"
    )
    write(f"{run.run_id} is {where}{reason}\n")
    draw_seen(run.run_id, seen)
    if seen.held_at is not None:
        say(
            f"next: `runplane step {run.run_id}`, `runplane continue {run.run_id}`, `runplane vars {run.run_id}`"
        )


def draw_seen(run_id: str, seen: Variables, *, is_full: bool = False) -> None:
    """The calls and the variables."""
    for line in _calls(seen.stack):
        draw(line)
    for scope in seen.scopes:
        _draw_scope(run_id, scope, is_full=is_full)


def _calls(stack: tuple[Frame, ...]) -> Iterator[object]:
    for number, frame in enumerate(stack[:_MOST_CALLS]):
        mark, style = ("→", "bold") if number == 0 else (" ", "")
        yield _line(f"  {mark} {frame.function}  {frame.file}:{frame.line}", style)
        if number == 0:
            for line in frame.source:
                mark, style = ("▶", "") if line.number == frame.line else (" ", "dim")
                yield _line(f"    {mark}{line.number:5}  {line.text}", style)


def _draw_scope(run_id: str, scope: Scope, *, is_full: bool) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(scope.name.upper(), no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column("TYPE", no_wrap=True)
    table.add_column("VALUE", no_wrap=not is_full, overflow="fold" if is_full else "ellipsis", ratio=1)
    for one in scope.variables:
        table.add_row(plain(one_line(one.name, _LONGEST)), plain(one.type), _value(one, is_full=is_full))
    draw(table)
    cut = next((one for one in scope.variables if one.truncated), None)
    if cut is not None:
        say(
            f"… is cut: `runplane vars {run_id} {scope.name}.{cut.name}` shows the whole of what was reported"
        )


def _value(one: Variable, *, is_full: bool) -> "Text":
    from rich.text import Text

    text = shown_value(one)
    if is_full and isinstance(one.value, dict | list):
        text = json.dumps(one.value, ensure_ascii=False, indent=2)
    shown = clean(text) if is_full else one_line(text, _LONGEST)
    return Text(f"{shown} … ({one.bytes} bytes)" if one.truncated else shown)


def _line(text: str, style: str) -> "Text":
    """A line as it is indented."""
    from rich.text import Text

    return Text(clean(text).replace("\n", " ").expandtabs(4), style=style)
