"""Puts the dashboard onto the application."""

from fastapi import FastAPI, Request
from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import run_page, runs_page
from control_plane.dashboard.live import LiveRows
from runplane.contract.run import Actor


def mount(app: FastAPI, context: Context) -> None:
    """Add the pages; whoever reaches one has been let in by the authentication of the whole application."""
    live = LiveRows(context)

    @ui.page("/")
    def runs(status: str = "", q: str = "") -> None:
        runs_page.build(live, status, q)

    @ui.page("/runs/{run_id}")
    def run(run_id: str, request: Request) -> None:
        actor: Actor = request.state.actor
        run_page.build(context, run_id, actor.model_copy(update={"surface": "dashboard"}))

    ui.run_with(app, title="Runplane", show_welcome_message=False, reconnect_timeout=10.0)
