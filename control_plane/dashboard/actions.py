"""The buttons of a run: kill, restart, force-complete, each of which asks first, waits for the proof and shows it; and
pause and continue, which can be taken back and so ask nothing.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from control_plane.command_side import (
    ContinueRequest,
    DecideRequest,
    ForceCompleteRequest,
    KillRequest,
    PauseRequest,
    RestartRequest,
)
from control_plane.command_side.requests import MAX_REASON_CHARACTERS
from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.frame import pairs
from runplane.contract.errors import InvalidInput, RunplaneError
from runplane.contract.run import Actor, KillReceipt, Run, Status

WAIT_SECONDS = 60.0
_SAID_FOR_MS = 15_000


class RunActions:
    """The dialogs of one viewer for one run."""

    def __init__(self, context: Context, run_id: str, actor: Actor) -> None:
        """``actor`` is whoever looks at the page."""
        self._context = context
        self._run_id = run_id
        self._actor = actor
        self._client = ui.context.client
        self._place = ui.element("div").classes("hidden")

    def buttons(self) -> Callable[[Run], None]:
        """Place the buttons; what is returned shows those that make sense for the run as it is."""
        with ui.row().classes("rp-buttons"):
            kill = ui.button("Kill", icon="stop_circle", on_click=self._ask_kill).props(
                "unelevated color=negative"
            )
            hold = ui.button("Pause", icon="pause_circle", on_click=self._pause_or_continue).props("outline")
            restart = ui.button("Restart", icon="restart_alt", on_click=self._ask_restart).props("outline")
            force = ui.button("Force-complete", icon="flag", on_click=self._ask_force).props("outline")
            decide = ui.button("Decide …", icon="alt_route", on_click=self._ask_decision).props("unelevated")
            for button in (kill, hold, restart, force, decide):
                button.props("no-caps dense").classes("rp-button")

        def show(run: Run) -> None:
            kill.set_visibility(not run.status.ended)
            is_paused = run.status is Status.PAUSED
            hold.set_visibility(is_paused or run.status is Status.RUNNING)
            hold.set_text("Continue" if is_paused else "Pause")
            hold.set_icon("play_circle" if is_paused else "pause_circle")
            restart.set_visibility(run.restarted_as is None)
            decide.set_visibility(run.status is Status.PENDING and run.attempt_over)
            decide.set_text("Decide …" if run.awaits_decision else "Attempt now …")
            force.set_text("Force-complete" if not run.status.ended else "Declare another outcome")

        return show

    def _run(self) -> Run | None:
        return self._context.read_model.run(self._run_id)

    @contextmanager
    def _dialog(self, title: str, text: str) -> Iterator[ui.dialog]:
        """A dialog that asks; it is taken out of the page when it closes."""
        with (
            self._place,
            ui.dialog().props(f'aria-label="{title}"') as dialog,
            ui.card().classes("rp-dialog"),
        ):
            ui.label(title).classes("rp-title").props("role=heading aria-level=2")
            ui.label(text).classes("rp-soft")
            yield dialog
        dialog.on("hide", dialog.delete)
        dialog.open()

    async def _pause_or_continue(self) -> None:
        run = self._run()
        if run is None:
            return
        if run.status is Status.PAUSED:
            await self._carry_out("Continuing", self._continue)
        else:
            await self._carry_out("Pausing", self._pause)

    async def _pause(self) -> None:
        await self._context.command_side.pause_run(self._run_id, PauseRequest(), self._actor)
        await self._until(lambda run: run.status is Status.PAUSED or run.status.ended)

    async def _continue(self) -> None:
        run = self._run()
        held = run.held if run is not None else None
        await self._context.command_side.continue_run(self._run_id, ContinueRequest(), self._actor)
        await self._until(
            lambda run: run.held != held
        )  # it may be held again at once, at the next breakpoint

    async def _until(self, reached: Callable[[Run], bool]) -> None:
        await self._context.read_model.wait_until(
            self._run_id, lambda state: state.run is not None and reached(state.run), WAIT_SECONDS
        )

    def _ask_kill(self) -> None:
        run = self._run()
        if run is None:
            return
        where = f" on {run.host}" if run.host else ""
        text = (
            f"{run.workflow}{where}: its whole process tree is ended, and what proves it is shown."
            if run.status is not Status.PENDING
            else "No process of it exists now: it is ended, and no attempt follows."
            if run.attempts
            else "No process of it exists yet: it is canceled and will never start."
        )
        with self._dialog(f"Kill {run.run_id}?", text) as dialog:
            reason = _reason()
            grace = ui.number("Grace in seconds (empty: the workflow's)", min=0, max=3600).classes("w-full")
            force = ui.checkbox("At once, without any grace")
            grace.bind_enabled_from(force, "value", backward=lambda value: not value)

            async def go() -> None:
                given = None if force.value or grace.value is None else float(grace.value)
                await self._carry_out("Killing", lambda: self._kill(reason.value, bool(force.value), given))

            _choices(dialog, "Kill", go, danger=True)

    async def _kill(self, reason: str | None, force: bool, grace: float | None) -> None:  # noqa: FBT001
        request = KillRequest(reason=reason or None, force=force, grace_seconds=grace)
        await self._context.command_side.kill_run(self._run_id, request, self._actor)
        state = await self._context.read_model.wait_until(
            self._run_id, lambda state: state.run is not None and state.run.status.ended, WAIT_SECONDS
        )
        if state.run is not None:
            self._show_end(state.run)

    def _ask_restart(self) -> None:
        run = self._run()
        if run is None:
            return
        text = (
            "It has ended: it is started again with the same configuration, as a new run."
            if run.status.ended
            else "Its whole tree is ended first; only when that is verified does the new run start."
        )
        with self._dialog(f"Restart {run.run_id}?", text) as dialog:
            reason = _reason()
            resume = ui.checkbox(
                "Go on from where it was: its last checkpoint, and the steps it has completed"
            )
            before = run.params
            params = ui.textarea(
                "Parameters (JSON)",
                value=json.dumps(before, indent=2, ensure_ascii=False),
                validation=lambda text: _objection(text, before),
            )
            params.classes("w-full rp-mono").props("autogrow outlined spellcheck=false")

            async def go() -> None:
                given = changed(params.value or "{}", before) or None
                request = RestartRequest(reason=reason.value or None, resume=bool(resume.value), params=given)
                await self._carry_out("Restarting", lambda: self._restart(request))

            _choices(dialog, "Restart", go, check=params.validate)

    async def _restart(self, request: RestartRequest) -> None:
        accepted = await self._context.command_side.restart_run(self._run_id, request, self._actor)
        if accepted.new_run_id is None:
            return
        await self._context.read_model.wait_until(
            accepted.new_run_id, lambda state: state.run is not None, WAIT_SECONDS
        )
        self._client.open(f"/runs/{accepted.new_run_id}")

    def _ask_decision(self) -> None:
        run = self._run()
        if run is None:
            return
        why = run.failure.message if run.failure is not None else "its last attempt failed"
        kept = run.checkpoint is not None
        text = f"Attempt {run.attempt} of {run.workflow} failed: {words.one_line(why, 300)}"
        with self._dialog(f"What becomes of {run.run_id}?", text) as dialog:
            choices = {
                "retry": "Another attempt, from where its workflow says",
                "resume": "Another attempt, from where it was"
                + ("" if kept else " (it has stored no checkpoint)"),
                "restart": "Another attempt, from the beginning",
                "give_up": "Give it up: it ends as failed",
            }
            chosen = ui.radio(choices, value="retry")
            reason = _reason()

            async def go() -> None:
                await self._carry_out("Deciding about", lambda: self._decide(chosen.value, reason.value))

            _choices(dialog, "Decide", go)

    async def _decide(self, decision: Any, reason: str | None) -> None:
        run = self._run()
        before = run.attempt if run is not None else 0
        request = DecideRequest(decision=decision, reason=reason or None)
        await self._context.command_side.decide_run(self._run_id, request, self._actor)
        await self._until(lambda run: run.status.ended or run.attempt > before)

    def _ask_force(self) -> None:
        run = self._run()
        if run is None:
            return
        text = (
            f"It ended as {words.status(run.status)}. What you declare replaces that, and both stay in the log."
            if run.status.ended
            else "Its tree is ended first, unless you leave it alive. What was seen stays beside your word."
        )
        ended = run.status.ended
        with self._dialog(f"Declare the outcome of {run.run_id}?", text) as dialog:
            outcome = ui.toggle({"completed": "completed", "failed": "failed"}, value="failed").props(
                "no-caps"
            )
            reason = _reason()
            detach = ui.checkbox("Leave its processes alive")
            detach.set_visibility(not ended)

            async def go() -> None:
                given = (reason.value or None, outcome.value, bool(detach.value), ended)
                await self._carry_out("Declaring the outcome of", lambda: self._force(*given))

            _choices(dialog, "Declare", go, danger=True)

    async def _force(self, reason: str | None, outcome: Any, detach: bool, replace: bool) -> None:  # noqa: FBT001
        request = ForceCompleteRequest(outcome=outcome, reason=reason, detach=detach, replace=replace)
        await self._context.command_side.force_complete_run(self._run_id, request, self._actor)
        state = await self._context.read_model.wait_until(
            self._run_id,
            lambda state: (
                state.run is not None
                and state.run.status.ended
                and state.run.override is not None
                and state.run.override.outcome == request.outcome
            ),
            WAIT_SECONDS,
        )
        if state.run is not None:
            self._show_end(state.run)

    async def _carry_out(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, with a sign that it is under way, and say plainly when it was refused.

        It is done to its end even if the viewer leaves meanwhile; then there is nobody to tell.
        """
        with self._place:
            note = ui.notification(f"{what} {self._run_id} …", spinner=True, timeout=None)
        try:
            await work()
        except RunplaneError as error:
            self._say(error.message, "negative")
        except ValidationError as error:
            self._say("; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()), "negative")
        except TimeoutError:
            self._say(
                f"{self._run_id}: not done after {WAIT_SECONDS:.0f} s. It goes on, and this page shows when it is; "
                f"if its grace is long, kill it again at once, without grace",
                "warning",
            )
        finally:
            if not self._client.is_deleted:
                note.dismiss()

    def _say(self, message: str, type: Any) -> None:
        if self._client.is_deleted:
            return
        with self._place:
            ui.notify(message, type=type, multi_line=True, timeout=_SAID_FOR_MS, close_button="OK")

    def _show_end(self, run: Run) -> None:
        """How it ended, and the receipt."""
        if self._client.is_deleted:
            return
        with self._dialog(f"{run.run_id} is {words.status(run.status)}", words.outcome(run)) as dialog:
            if run.kill_receipt is not None:
                receipt_card(run.kill_receipt)
            with ui.row().classes("rp-choices"):
                ui.button("Close", on_click=dialog.close).props("unelevated no-caps autofocus")


def receipt_card(receipt: KillReceipt) -> None:
    """What the receipt proves, and the receipt line by line."""
    proven = receipt.verified and not receipt.survivors
    with ui.row().classes("rp-proof items-center gap-2 no-wrap " + ("rp-green" if proven else "rp-red")):
        ui.icon("verified" if proven else "gpp_bad", size="sm")
        ui.label(words.receipt_headline(receipt))
    pairs(words.receipt_lines(receipt))


def changed(text: str, before: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were changed. InvalidInput where the text is no JSON object, or one was taken out."""
    try:
        params = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The parameters are not JSON: {error}", field="params") from None
    if not isinstance(params, dict):
        raise InvalidInput(
            'The parameters must be a JSON object, like {"epic": "NMSTX-187"}',
            field="params",
            value=text[:80],
        )
    missing = sorted(before.keys() - params.keys())
    if missing:
        raise InvalidInput(
            f"A restart keeps every parameter: put {', '.join(missing)} back, with another value if you want",
            field="params",
        )
    return {name: value for name, value in params.items() if name not in before or before[name] != value}


def _reason() -> ui.input:
    return (
        ui.input("Reason (kept in the log)")
        .classes("w-full")
        .props(f"autofocus maxlength={MAX_REASON_CHARACTERS}")
    )


def _objection(text: str | None, before: dict[str, Any]) -> str | None:
    try:
        changed(text or "{}", before)
    except InvalidInput as error:
        return error.message
    return None


def _choices(
    dialog: ui.dialog,
    label: str,
    go: Callable[[], Awaitable[None]],
    *,
    danger: bool = False,
    check: Callable[[], bool] = lambda: True,
) -> None:
    async def chosen() -> None:
        if not check():
            return
        dialog.close()
        await go()

    with ui.row().classes("rp-choices"):
        ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
        ui.button(label, on_click=chosen).props(
            f"unelevated no-caps color={'negative' if danger else 'primary'}"
        )
