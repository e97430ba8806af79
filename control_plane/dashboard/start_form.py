"""A form made from the JSON Schema of a workflow's parameters; what is wrong is said beside the field it is about.

Nothing is checked here that the command side does not check again: it is the judge, and its errors name their fields.
"""

import json
from collections.abc import Callable
from typing import Any

from nicegui import ui

from control_plane.command_side import StartRequest
from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.read_model import WorkflowView
from control_plane.waiting import VISIBLE_SECONDS
from runplane.contract.errors import InvalidInput, RunplaneError
from runplane.contract.run import Actor

_EMPTY = (None, "")


class StartForm:
    """The form of one viewer."""

    def __init__(self, context: Context, view: WorkflowView, actor: Actor) -> None:
        """Build it where the caller stands."""
        self._context = context
        self._view = view
        self._actor = actor
        self._client = ui.context.client
        self._fields: dict[str, tuple[Any, Callable[[Any], Any]]] = {}
        required = view.definition.params.get("required", [])
        with ui.element("form").classes("rp-form").on("submit.prevent", self._start):
            for name, schema in view.definition.params.get("properties", {}).items():
                self._field(
                    str(name), schema if isinstance(schema, dict) else {}, is_required=name in required
                )
            if not self._fields:
                ui.label("It takes no parameters.").classes("rp-soft")
            with ui.row().classes("rp-pair"):
                hosts = {"": "any host of the pool"} | {
                    host.host_id: host.host_id for host in context.read_model.hosts()
                }
                self._host = (
                    ui.select(hosts, value="", label="Host").classes("rp-grow").props("outlined dense")
                )
                self._pool = (
                    ui.input("Pool", value=view.definition.pool).classes("rp-grow").props("outlined dense")
                )
            self._points = ui.input("Hold at", placeholder="step:*, step:NAME, FILE:LINE").classes("w-full")
            self._points.props["hint"] = "Breakpoints, separated by commas; step:* walks it from step to step"
            self._points.props("outlined dense")
            self._said = ui.label().classes("rp-red rp-say").props("role=alert")
            ui.button("Start", icon="play_arrow").props("unelevated no-caps type=submit")

    def _field(self, name: str, schema: dict[str, Any], *, is_required: bool) -> None:
        label = f"{name} *" if is_required else name
        default, kind = schema.get("default"), schema.get("type")
        if schema.get("secret") is True:
            control: Any = ui.input(label, placeholder="secret:NAME", password=True)
            read: Callable[[Any], Any] = lambda value: value  # noqa: E731 - one line a kind
        elif isinstance(schema.get("enum"), list):
            options = {json.dumps(one): words.value(one) for one in schema["enum"]}
            chosen = json.dumps(default) if default in schema["enum"] else None
            control, read = (
                ui.select(options, value=chosen, label=label, clearable=not is_required),
                json.loads,
            )
        elif kind == "boolean":
            control, read = ui.checkbox(label, value=bool(default)), bool
        elif kind in ("integer", "number"):
            control = ui.number(label, value=default, min=schema.get("minimum"), max=schema.get("maximum"))
            read = _whole if kind == "integer" else float
        elif kind == "string" or kind is None:
            control, read = ui.input(label, value="" if default is None else words.value(default)), str
        else:
            text = "" if default is None else json.dumps(default, ensure_ascii=False)
            control, read = ui.textarea(f"{label} (JSON)", value=text).classes("rp-mono"), json.loads
            control.props("autogrow")
        hint = words.one_line(str(schema.get("description", "")))
        if kind != "boolean":
            control.props("outlined dense")
            control.props["hint"] = hint or None
        self._fields[name] = (control.classes("w-full"), read)

    def _values(self) -> dict[str, Any]:
        """What was filled in; what was left empty is left to the workflow's defaults."""
        values: dict[str, Any] = {}
        for name, (control, read) in self._fields.items():
            if control.value in _EMPTY:
                continue
            try:
                values[name] = read(control.value)
            except (ValueError, TypeError) as error:
                raise InvalidInput(f"{name} is not JSON: {error}", field=f"params.{name}") from None
        return values

    async def _start(self) -> None:
        self._tell({}, "")
        try:
            request = StartRequest(
                workflow=self._view.name,
                params=self._values(),
                host=self._host.value or None,
                breakpoints=_places(self._points.value),
                pool=(self._pool.value or None) if self._pool.value != self._view.definition.pool else None,
            )
            accepted = await self._context.command_side.start_run(request, self._actor)
            await self._context.read_model.wait_for(accepted.seq, VISIBLE_SECONDS)
        except RunplaneError as error:
            self._tell(_by_field(error), error.message)
            return
        except ValueError as error:
            self._tell({}, words.one_line(str(error), 400))
            return
        self._client.open(f"/runs/{accepted.run_id}")

    def _tell(self, faults: dict[str, str], message: str) -> None:
        """Beside the fields they are about; what is about none stands below them."""
        if self._client.is_deleted:
            return
        known = False
        for name, (control, _) in self._fields.items():
            fault = faults.get(f"params.{name}")
            known = known or fault is not None
            if hasattr(control, "error"):
                control.error = fault
            else:
                control.props(f"color={'negative' if fault else 'primary'}")
        self._said.set_text("" if known and len(faults) == 1 else message)


def _places(text: str | None) -> tuple[str, ...]:
    return tuple(place.strip() for place in (text or "").split(",") if place.strip())


def _by_field(error: RunplaneError) -> dict[str, str]:
    faults = {
        str(one["field"]): str(one["message"])
        for one in error.fields.get("errors") or ()
        if isinstance(one, dict) and "field" in one and "message" in one
    }
    field = error.fields.get("field")
    return faults or ({str(field): error.message} if field else {})


def _whole(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() else number
