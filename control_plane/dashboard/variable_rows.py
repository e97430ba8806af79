"""Variables as rows of a tree: what is nested unfolds, and a value is changed where it stands. For the debug view."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from control_plane.dashboard import words
from runplane.contract.debugging import Scope, Variable, shortened, shown_value

MOST_ROWS = 200
MOST_MEMBERS = 100
DEEPEST = 6
_MOST_BYTES = 4_000
_LONGEST = 160

Change = Callable[[str, str, str], Awaitable[None]]
"""Change the variable of this scope and name to this text."""


def scope_rows(scope: Scope, change: Change | None) -> None:
    """The variables of one scope; without ``change`` they are only shown."""
    ui.label(scope.name).classes("rp-label")
    with ui.element("div").classes("rp-variables").props(f'role=tree aria-label="{scope.name}"'):
        for one in scope.variables[:MOST_ROWS]:
            _row(scope.name, shortened(one, _MOST_BYTES), change)
        if len(scope.variables) > MOST_ROWS:
            ui.label(f"and {len(scope.variables) - MOST_ROWS} more").classes("rp-soft")


def _row(scope: str, one: Variable, change: Change | None) -> None:
    with ui.element("div").classes("rp-variable").props("role=treeitem"):
        ui.label(words.one_line(one.name, 80)).classes("rp-mono rp-variable-name")
        ui.label(one.type).classes("rp-soft rp-variable-type")
        if isinstance(one.value, dict | list):
            with ui.element("details").classes("rp-grow"):
                with ui.element("summary").classes("rp-mono rp-breaks"):
                    ui.label(_shown(one))
                _members(one.value, 1)
        else:
            ui.label(_shown(one)).classes("rp-mono rp-breaks rp-grow")
        if change is not None:
            _pencil(scope, one, change)


def _pencil(scope: str, one: Variable, change: Change) -> None:
    """Opens a field in the row; Enter changes the value, Escape leaves it."""
    button = ui.button(icon="edit").props(f'flat dense round size=sm aria-label="Change {one.name}"')
    field = ui.input(value=json.dumps(one.value, ensure_ascii=False)).classes("rp-variable-field")
    field.props(f'dense outlined aria-label="New value of {one.name}"').set_visibility(False)

    async def done() -> None:
        field.set_visibility(False)
        await change(scope, one.name, field.value or "")

    def open_field() -> None:
        field.set_visibility(True)
        field.run_method("focus")

    button.on_click(open_field)
    field.on("keydown.enter", done)
    field.on("keydown.escape", lambda: field.set_visibility(False))


def _members(value: Any, depth: int) -> None:
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    with ui.element("div").classes("rp-members").props("role=group"):
        for name, item in items[:MOST_MEMBERS]:
            with ui.element("div").classes("rp-variable"):
                ui.label(words.one_line(str(name), 80)).classes("rp-mono rp-variable-name")
                if isinstance(item, dict | list) and item and depth < DEEPEST:
                    with ui.element("details").classes("rp-grow"):
                        with ui.element("summary").classes("rp-mono rp-breaks"):
                            ui.label(_text(item))
                        _members(item, depth + 1)
                else:
                    ui.label(_text(item)).classes("rp-mono rp-breaks rp-grow")
        if len(items) > MOST_MEMBERS:
            ui.label(f"and {len(items) - MOST_MEMBERS} more").classes("rp-soft")


def _shown(one: Variable) -> str:
    text = words.one_line(shown_value(one), _LONGEST)
    return f"{text} … ({one.bytes} bytes)" if one.truncated else text


def _text(value: Any) -> str:
    return words.one_line(json.dumps(value, ensure_ascii=False), _LONGEST)
