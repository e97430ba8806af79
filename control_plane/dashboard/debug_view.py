"""Debugging on a run's page: where it is held, the lines around it, the calls, the variables, and what goes on.

Built anew whenever the run's story says something else of it. What a viewer types (a watch, a breakpoint) stays.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nicegui import background_tasks, ui
from pydantic import ValidationError

from control_plane.command_side import (
    Accepted,
    BreakpointsRequest,
    ContinueRequest,
    EvaluateRequest,
    PauseRequest,
    StepRequest,
    VariableRequest,
)
from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.following import call
from control_plane.dashboard.frame import empty
from control_plane.dashboard.variable_rows import scope_rows
from control_plane.read_model import EventFilter
from control_plane.waiting import until
from runplane.conditions import ConditionError, value_of
from runplane.contract.debugging import Frame, Scope, shown_value
from runplane.contract.errors import RunplaneError
from runplane.contract.events import BreakpointsSet, ExpressionEvaluated, VariablesSet
from runplane.contract.run import Actor, Run, Status
from runplane.contract.spec import Breakpoint
from runplane.core.debugging import is_line
from runplane.core.state import Debugging, RunState

Fact = TypeVar("Fact", BreakpointsSet, ExpressionEvaluated, VariablesSet)

WAIT_SECONDS = 10.0
MOST_WATCHES = 20
_LONGEST = 300
_SAID_FOR_MS = 15_000
_BUTTONS = (
    ("continue", "Continue", "play_arrow", "F5"),
    ("pause", "Pause", "pause", "F6"),
    ("over", "Step", "redo", "F10"),
    ("into", "Step into", "south", "F11"),
    ("out", "Step out", "north", "Shift+F11"),
)


class DebugView:
    """Of one viewer. ``open`` brings it before the viewer."""

    def __init__(self, context: Context, run_id: str, actor: Actor, open: Callable[[], object]) -> None:
        """Build it where the caller stands."""
        self._context = context
        self._run_id = run_id
        self._actor = actor
        self._open = open
        self._client = ui.context.client
        self._watches: list[str] = []
        self._watched: dict[str, str] = {}
        self._shown: tuple[Any, ...] | None = None
        with ui.element("div").classes("rp-debug").props('data-debug="1"') as self._whole:
            with ui.row().classes("rp-headline"):
                self._buttons = {name: self._button(*rest) for name, *rest in _BUTTONS}
                self._where = ui.label().classes("rp-debug-where").props("role=status")
            self._place = ui.element("div").classes("rp-debug-parts")
        call(self._client, "debugKeys", self._whole.id)

    def _button(self, label: str, icon: str, key: str) -> ui.button:
        name = next(name for name, *rest in _BUTTONS if rest[0] == label)
        button = ui.button(label, icon=icon, on_click=lambda: self._go(name))
        button.props(f'outline no-caps dense data-key="{key}"').classes("rp-button").tooltip(key)
        return button

    def set(self, run: Run) -> None:
        """Show the run as it is; a run that has come to a place where it is held is brought before the viewer."""
        state = self._context.read_model.state(self._run_id) or RunState()
        shown = (run.status, run.held, run.breakpoints, state.debugging)
        if shown == self._shown:
            return
        before, self._shown = self._shown, shown
        is_new = (
            run.held is not None and run.held.at is not None and (before is None or before[1] != run.held)
        )
        self._head(run)
        self._build(run, state.debugging)
        if is_new:
            self._open()
            self._watched.clear()
            if self._watches:
                background_tasks.create(self._watch_all(), name=f"watch {self._run_id}")

    def _head(self, run: Run) -> None:
        is_held = run.status is Status.PAUSED
        at_line = is_held and run.held is not None and run.held.at is not None and is_line(run.held.at)
        for name, button in self._buttons.items():
            button.set_enabled(
                run.status is Status.RUNNING
                if name == "pause"
                else is_held
                if name in ("continue", "over")
                else at_line
            )
        self._where.set_text(_where(run))

    def _build(self, run: Run, debugging: Debugging) -> None:
        self._place.clear()
        with self._place:
            with ui.element("div").classes("rp-debug-part"):
                self._calls(run, debugging.stack)
                self._breakpoints(run)
            with ui.element("div").classes("rp-debug-part"):
                can_set = run.status is Status.PAUSED and run.held is not None and run.held.at is not None
                _heading("Variables" if can_set else "Variables, as it last showed them")
                for scope in debugging.scopes:
                    scope_rows(scope, self._set_variable if can_set else None)
                if not debugging.scopes:
                    empty(
                        "It shows no variables.",
                        "A workflow does by runplane.variables(…), and where it is held at a step or a line.",
                    )
                self._watch_rows(can_watch=can_set)

    def _calls(self, run: Run, stack: tuple[Frame, ...]) -> None:
        if not stack:
            return
        top = stack[0]
        _heading(f"{top.file}:{top.line}")
        points = {one.location for one in run.breakpoints}
        with ui.element("div").classes("rp-source").props('tabindex=0 role=list aria-label="Source"'):
            for line in top.source:
                location = f"{top.file}:{line.number}"
                held = " rp-source-held" if line.number == top.line else ""
                with ui.element("div").classes("rp-source-line" + held).props("role=listitem"):
                    number = ui.element("button").classes(
                        "rp-source-number" + (" rp-set" * (location in points))
                    )
                    number.props(f'type=button aria-label="Breakpoint at line {line.number}"')
                    number.on("click", lambda location=location: self._toggle(location))
                    with number:
                        ui.label(str(line.number))
                    ui.label(line.text or " ").classes("rp-source-text")
        with ui.element("ol").classes("rp-stack").props('aria-label="Calls"'):
            for frame in stack:
                with ui.element("li").classes("rp-own"):
                    ui.label(f"{frame.function}  {frame.file}:{frame.line}")

    def _breakpoints(self, run: Run) -> None:
        _heading("Breakpoints")
        with ui.element("ul").classes("rp-points").props('aria-label="Breakpoints"'):
            for point in run.breakpoints:
                with ui.element("li").classes("rp-point"):
                    condition = f" if {point.condition}" if point.condition else ""
                    ui.label(words.one_line(f"{point.location}{condition}", _LONGEST)).classes(
                        "rp-mono rp-breaks"
                    )
                    if not run.status.ended:
                        close = ui.button(icon="close", on_click=lambda point=point: self._remove(point))
                        close.props(f'flat dense round size=sm aria-label="Take {point.location} away"')
        if run.status.ended or run.status is Status.TERMINATING:
            return
        with ui.row().classes("rp-pair items-center no-wrap"):
            where = ui.input(placeholder="step:NAME, step:* or FILE:LINE").classes("rp-grow")
            where.props('dense outlined aria-label="Where to hold it"')
            only_if = ui.input(placeholder="if … (count > 3)").classes("rp-grow")
            only_if.props('dense outlined aria-label="Only if"')

            async def add() -> None:
                location, wanted = (where.value or "").strip(), (only_if.value or "").strip()
                kept = [one for one in self._points() if one.location != location]
                await self._put([*kept, Breakpoint(location=location, condition=wanted or None)])

            ui.button("Add", on_click=add).props("outline no-caps dense").classes("rp-button")
            where.on("keydown.enter", add)
            only_if.on("keydown.enter", add)

    def _watch_rows(self, *, can_watch: bool) -> None:
        _heading("Watch")
        with ui.element("div").classes("rp-variables").props('role=list aria-label="Watched expressions"'):
            for expression in self._watches:
                with ui.element("div").classes("rp-variable").props("role=listitem"):
                    ui.label(expression).classes("rp-mono rp-variable-name")
                    ui.label(self._watched.get(expression, words.NOTHING)).classes(
                        "rp-mono rp-breaks rp-grow"
                    )
                    close = ui.button(icon="close", on_click=lambda one=expression: self._unwatch(one))
                    close.props(f'flat dense round size=sm aria-label="Watch {expression} no more"')
        field = ui.input(placeholder="An expression").classes("w-full")
        field.props('dense outlined aria-label="Watch an expression"')
        field.set_enabled(can_watch)

        async def watch() -> None:
            expression = (field.value or "").strip()
            if expression and expression not in self._watches and len(self._watches) < MOST_WATCHES:
                self._watches.append(expression)
                await self._watch(expression)

        field.on("keydown.enter", watch)

    def _unwatch(self, expression: str) -> None:
        self._watches.remove(expression)
        self._again()

    async def _watch_all(self) -> None:
        for expression in list(self._watches):
            await self._watch(expression)

    async def _watch(self, expression: str) -> None:
        """At a step the values are here; at a line the program is asked, and that stands in the log."""
        run, debugging = self._context.read_model.run(self._run_id), self._debugging()
        at = run.held.at if run is not None and run.held is not None else None
        if at is None:
            return
        if is_line(at):
            await self._try(lambda: self._evaluate(expression))
        else:
            try:
                self._watched[expression] = words.one_line(
                    json.dumps(value_of(expression, _names(debugging.scopes)), ensure_ascii=False), _LONGEST
                )
            except (ConditionError, TypeError, ValueError) as error:
                self._watched[expression] = words.one_line(str(error), _LONGEST)
        self._again()

    async def _evaluate(self, expression: str) -> None:
        request = EvaluateRequest(expression=expression)
        accepted = await self._context.command_side.evaluate(self._run_id, request, self._actor)
        [told] = await self._answers(accepted, ExpressionEvaluated) or [
            ExpressionEvaluated(expression=expression)
        ]
        text = (
            shown_value(told.result)
            if told.result is not None
            else (told.error or "its host has not answered yet").strip().splitlines()[-1]
        )
        self._watched[expression] = words.one_line(text, _LONGEST)

    async def _go(self, what: str) -> None:
        side = self._context.command_side
        match what:
            case "continue":
                await self._try(lambda: side.continue_run(self._run_id, ContinueRequest(), self._actor))
            case "pause":
                await self._try(lambda: side.pause_run(self._run_id, PauseRequest(), self._actor))
            case mode:
                request = StepRequest.model_validate({"mode": mode})
                await self._try(lambda: side.step_run(self._run_id, request, self._actor))

    async def _set_variable(self, scope: str, name: str, text: str) -> None:
        try:
            value = json.loads(text)
        except ValueError:
            value = text  # what is no JSON is text
        request = VariableRequest(name=name, value=value, scope=scope)

        async def change() -> None:
            accepted = await self._context.command_side.set_variable(self._run_id, request, self._actor)
            await self._answers(accepted, VariablesSet)

        await self._try(change)

    async def _toggle(self, location: str) -> None:
        points = self._points()
        kept = [one for one in points if one.location != location]
        await self._put(kept if len(kept) < len(points) else [*points, Breakpoint(location=location)])

    async def _remove(self, point: Breakpoint) -> None:
        await self._put([one for one in self._points() if one != point])

    async def _put(self, points: list[Breakpoint]) -> None:
        async def put() -> None:
            asked = [one.model_dump(exclude_none=True) for one in points]
            request = BreakpointsRequest.model_validate_json(json.dumps({"breakpoints": asked}))
            accepted = await self._context.command_side.set_breakpoints(self._run_id, request, self._actor)
            await self._answers(accepted, BreakpointsSet)

        await self._try(put)

    async def _answers(self, accepted: Accepted, fact: type[Fact]) -> list[Fact]:
        """The facts that came of the order, none where they have not come in time. Conflict where it was refused."""
        model = self._context.read_model

        def told() -> list[Fact]:
            records = model.events(EventFilter(command_id=accepted.command_id))
            return [record.data for _, record in records if isinstance(record.data, fact)]

        await until(
            model,
            self._run_id,
            lambda _run: bool(told()),
            command_id=accepted.command_id,
            types={fact.__name__},
            seconds=WAIT_SECONDS,
        )
        return told()

    def _points(self) -> list[Breakpoint]:
        run = self._context.read_model.run(self._run_id)
        return list(run.breakpoints) if run is not None else []

    def _debugging(self) -> Debugging:
        state = self._context.read_model.state(self._run_id)
        return state.debugging if state is not None else Debugging()

    def _again(self) -> None:
        run = self._context.read_model.run(self._run_id)
        if run is not None and not self._client.is_deleted:
            self._build(run, self._debugging())

    async def _try(self, work: Callable[[], Awaitable[object]]) -> None:
        """Say plainly when it was refused."""
        message = None
        try:
            await work()
        except RunplaneError as error:
            message = error.message
        except ValidationError as error:
            message = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        except TimeoutError:
            message = f"{self._run_id}: its host has not answered within {WAIT_SECONDS:.0f} s"
        if message is not None and not self._client.is_deleted:
            with self._whole:
                ui.notify(message, type="negative", multi_line=True, timeout=_SAID_FOR_MS, close_button="OK")


def _where(run: Run) -> str:
    if run.status.ended:
        return "It is over."
    if run.held is None:
        return "It goes on. A breakpoint, or a pause, holds it."
    at = f"Held at {run.held.at}" if run.held.at else "Paused: all of its processes stand still"
    reason = f" ({run.held.reason})" if run.held.reason else ""
    return words.one_line(f"{at}, since {run.held.since:%H:%M:%S} UTC, by {run.held.by}{reason}", _LONGEST)


def _names(scopes: tuple[Scope, ...]) -> dict[str, Any]:
    """Inputs go before variables of the same name."""
    return {one.name: one.value for scope in reversed(scopes) for one in scope.variables}


def _heading(text: str) -> None:
    ui.label(text).classes("rp-heading").props("role=heading aria-level=3")
