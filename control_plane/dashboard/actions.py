"""The buttons of a run: kill, restart, force-complete. Each asks first, waits for the proof, and shows it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from control_plane.command_side import ForceCompleteRequest, KillRequest, RestartRequest
from control_plane.context import Context
from control_plane.dashboard import words
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Actor, KillReceipt, Run
from runplane.core.state import RunState

WAIT_SECONDS = 60.0


class RunActions:
    """The dialogs of one viewer for one run."""

    def __init__(self, context: Context, run_id: str, actor: Actor) -> None:
        """``actor`` is whoever looks at the page."""
        self._context = context
        self._run_id = run_id
        self._actor = actor

    def buttons(self) -> Callable[[Run], None]:
        """Place the buttons; what is returned shows those that make sense for the run as it is."""
        kill = ui.button("Kill", icon="stop_circle", on_click=self._ask_kill).props(
            "unelevated color=negative"
        )
        restart = ui.button("Restart", icon="restart_alt", on_click=self._ask_restart).props("outline")
        force = ui.button("Force-complete", icon="flag", on_click=self._ask_force).props("outline")
        for button in (kill, restart, force):
            button.props("no-caps dense").classes("q-px-sm")

        def show(run: Run) -> None:
            kill.set_visibility(not run.status.ended)
            restart.set_enabled(run.restarted_as is None)
            force.set_text("Force-complete" if not run.status.ended else "Declare another outcome")

        return show

    def _run(self) -> Run | None:
        return self._context.read_model.run(self._run_id)

    def _ask_kill(self) -> None:
        run = self._run()
        if run is None:
            return
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Kill {run.run_id}?").classes("rp-title")
            where = f" on {run.host}" if run.host else ""
            ui.label(
                f"{run.workflow}{where}: its whole process tree is ended, and what proves it is shown."
                if run.status != "pending"
                else "No process exists yet: it is canceled and will never start."
            ).classes("rp-soft")
            reason = ui.input("Reason (kept in the log)").classes("w-full").props("autofocus")
            force = ui.checkbox("At once, without the grace")
            grace = ui.number("Grace, seconds", min=0, max=3600, placeholder="the workflow's").classes(
                "w-full"
            )
            grace.bind_enabled_from(force, "value", backward=lambda value: not value)

            async def go() -> None:
                dialog.close()
                request = KillRequest(
                    reason=reason.value or None,
                    force=bool(force.value),
                    grace_seconds=float(grace.value) if grace.value is not None and not force.value else None,
                )
                await self._carry_out("Killing", lambda: self._kill(request))

            _choices(dialog, "Kill", go, danger=True)
        dialog.open()

    async def _kill(self, request: KillRequest) -> None:
        await self._context.command_side.kill_run(self._run_id, request, self._actor)
        state = await self._ended()
        if state.run is not None:
            show_end(state.run)

    def _ask_restart(self) -> None:
        run = self._run()
        if run is None:
            return
        with ui.dialog() as dialog, ui.card().classes("w-[28rem]"):
            ui.label(f"Restart {run.run_id}?").classes("rp-title")
            ui.label(
                "It has ended: it is started again with the same configuration, as a new run."
                if run.status.ended
                else "Its whole tree is ended first; only when that is verified does the new run start."
            ).classes("rp-soft")
            reason = ui.input("Reason (kept in the log)").classes("w-full").props("autofocus")
            text = ui.textarea(
                "Parameters (JSON)", value=json.dumps(run.params, indent=2, ensure_ascii=False)
            )
            text.classes("w-full rp-mono").props("autogrow outlined")

            async def go() -> None:
                params = _changed(text.value or "{}", run.params)
                if params is None:
                    return
                dialog.close()
                request = RestartRequest(reason=reason.value or None, params=params or None)
                await self._carry_out("Restarting", lambda: self._restart(request))

            _choices(dialog, "Restart", go)
        dialog.open()

    async def _restart(self, request: RestartRequest) -> None:
        accepted = await self._context.command_side.restart_run(self._run_id, request, self._actor)
        new_run_id = accepted.new_run_id
        if new_run_id is None:
            return
        await self._context.read_model.wait_until(
            new_run_id, lambda state: state.run is not None and state.run.status != "pending", WAIT_SECONDS
        )
        ui.notify(f"Restarted as {new_run_id}", type="positive")
        ui.navigate.to(f"/runs/{new_run_id}")

    def _ask_force(self) -> None:
        run = self._run()
        if run is None:
            return
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Declare the outcome of {run.run_id}?").classes("rp-title")
            ui.label(
                f"It ended as {run.status}. What you declare replaces that, and both stay in the log."
                if run.status.ended
                else "Its tree is ended first, unless you leave it alive. What was seen stays beside your word."
            ).classes("rp-soft")
            outcome = ui.toggle({"completed": "completed", "failed": "failed"}, value="failed").props(
                "no-caps"
            )
            reason = ui.input("Reason (kept in the log)").classes("w-full").props("autofocus")
            detach = ui.checkbox("Leave its processes alive")
            detach.set_visibility(not run.status.ended)

            async def go() -> None:
                dialog.close()
                request = ForceCompleteRequest(
                    outcome=outcome.value,
                    reason=reason.value or None,
                    detach=bool(detach.value),
                    replace=run.status.ended,
                )
                await self._carry_out("Declaring", lambda: self._force(request))

            _choices(dialog, "Declare", go, danger=True)
        dialog.open()

    async def _force(self, request: ForceCompleteRequest) -> None:
        await self._context.command_side.force_complete_run(self._run_id, request, self._actor)
        await self._context.read_model.wait_until(
            self._run_id,
            lambda state: (
                state.run is not None
                and state.run.override is not None
                and state.run.override.outcome == request.outcome
            ),
            WAIT_SECONDS,
        )
        run = self._run()
        if run is not None:
            show_end(run)

    async def _ended(self) -> RunState:
        return await self._context.read_model.wait_until(
            self._run_id, lambda state: state.run is not None and state.run.status.ended, WAIT_SECONDS
        )

    async def _carry_out(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, with a sign that it is under way, and say plainly when it was refused."""
        note = ui.notification(f"{what} {self._run_id} …", spinner=True, timeout=None)
        try:
            await work()
        except RunplaneError as error:
            ui.notify(error.message, type="negative", multi_line=True, timeout=10_000, close_button="OK")
        except TimeoutError:
            ui.notify(
                f"{self._run_id}: not done after {WAIT_SECONDS:.0f} s; it goes on, and this page shows when it is",
                type="warning",
                multi_line=True,
                timeout=10_000,
            )
        finally:
            note.dismiss()


def show_end(run: Run) -> None:
    """How it ended, and the receipt."""
    with ui.dialog() as dialog, ui.card().classes("w-[40rem] max-w-full"):
        ui.label(f"{run.run_id} is {str(run.status).replace('_', ' ')}").classes("rp-title")
        if words.outcome(run):
            ui.label(words.outcome(run)).classes("rp-soft")
        if run.kill_receipt is not None:
            receipt_card(run.kill_receipt)
        with ui.row().classes("w-full justify-end"):
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
    dialog.open()


def receipt_card(receipt: KillReceipt) -> None:
    """The receipt, line by line."""
    with ui.column().classes("gap-1 w-full"):
        for line in words.receipt_lines(receipt):
            ui.label(line).classes("rp-mono").style("overflow-wrap: anywhere")


def _choices(
    dialog: ui.dialog, label: str, go: Callable[[], Awaitable[None]], *, danger: bool = False
) -> None:
    with ui.row().classes("w-full justify-end q-mt-sm"):
        ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
        ui.button(label, on_click=go).props(f"unelevated no-caps color={'negative' if danger else 'primary'}")


def _changed(text: str, before: dict[str, Any]) -> dict[str, Any] | None:
    """The parameters that were changed; None, with a word to the viewer, where the text is not a JSON object."""
    try:
        params = json.loads(text)
    except ValueError as error:
        ui.notify(f"Parameters are not JSON: {error}", type="negative")
        return None
    if not isinstance(params, dict):
        ui.notify('Parameters must be a JSON object, like {"epic": "NMSTX-187"}', type="negative")
        return None
    return {name: value for name, value in params.items() if name not in before or before[name] != value}
