"""Killing the chosen runs: first which would be killed and which not; then, if that is meant, each with its result."""

from nicegui import ui

from control_plane.command_side import BulkResult, KillRequest
from control_plane.command_side.requests import MAX_REASON_CHARACTERS
from control_plane.context import Context
from control_plane.dashboard import words
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Actor

MOST_CHOSEN = 1_000
_MOST_LISTED = 200
_WORDS = {
    "would_kill": ("would be killed", "amber"),
    "already_ended": ("has ended already", "grey"),
    "refused": ("refused", "red"),
    "accepted": ("is being killed", "violet"),
}


class BulkKillDialog:
    """Of one viewer."""

    def __init__(self, context: Context, actor: Actor) -> None:
        """Nothing is shown before :meth:`ask`."""
        self._context = context
        self._actor = actor
        self._client = ui.context.client
        self._place = ui.element("div").classes("hidden")

    async def ask(self, run_ids: list[str]) -> None:
        """The dry run, and the question."""
        chosen = [str(run_id) for run_id in run_ids][:MOST_CHOSEN]
        if not chosen:
            return
        dry = await self._context.command_side.kill_chosen(chosen, KillRequest(), self._actor, dry_run=True)
        count = sum(result.result == "would_kill" for result in dry)
        runs = f"{count} run" if count == 1 else f"{count} runs"
        with self._place, ui.dialog() as dialog, ui.card().classes("rp-dialog rp-dialog-wide"):
            ui.label(f"Kill {runs}?").classes("rp-title").props("role=heading aria-level=2")
            more = (
                f" Only the first {MOST_CHOSEN} chosen ones are looked at."
                if len(run_ids) > MOST_CHOSEN
                else ""
            )
            ui.label(f"Nothing has been done yet. This is what would be.{more}").classes("rp-soft")
            results = ui.element("div").classes("rp-results").props('tabindex=0 aria-label="Results"')
            self._list(results, dry)
            reason = ui.input("Reason (kept in the log)").classes("w-full")
            reason.props(f"autofocus maxlength={MAX_REASON_CHARACTERS}")
            force = ui.checkbox("At once, without any grace")
            with ui.row().classes("rp-choices"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                kill = ui.button(f"Kill {runs}").props("unelevated no-caps color=negative")
                kill.set_enabled(count > 0)

            async def go() -> None:
                kill.disable()
                order = KillRequest(reason=reason.value or None, force=bool(force.value))
                meant = [result.run_id for result in dry if result.result == "would_kill"]
                try:
                    done = await self._context.command_side.kill_chosen(meant, order, self._actor)
                except RunplaneError as error:
                    ui.notify(error.message, type="negative", multi_line=True)
                    return
                if not self._client.is_deleted:
                    self._list(results, done)
                    kill.set_visibility(False)

            kill.on_click(go)
        dialog.on("hide", dialog.delete)
        dialog.open()

    def _list(self, place: ui.element, results: list[BulkResult]) -> None:
        place.clear()
        with place:
            for result in results[:_MOST_LISTED]:
                said, hue = _WORDS[result.result]
                run = self._context.read_model.run(result.run_id)
                with ui.element("div").classes("rp-result"):
                    ui.link(result.run_id, f"/runs/{result.run_id}", new_tab=True).classes("rp-mono rp-link")
                    ui.label(run.workflow if run is not None else "").classes("rp-cut")
                    ui.label(said).classes(f"rp-{hue}")
                    ui.label(words.one_line(result.message or "")).classes("rp-soft")
            if len(results) > _MOST_LISTED:
                ui.label(f"and {len(results) - _MOST_LISTED} more").classes("rp-soft")
