"""Puts the dashboard onto the application."""

from fastapi import FastAPI, Request
from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import run_page, runs_page
from control_plane.dashboard.live import LiveRows
from runplane.contract.run import Actor

RECONNECT_SECONDS = 10.0
"""How long a page that lost its connection may come back to what it was; after that it loads itself again."""
_MESSAGES_KEPT = 200
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#2563eb"/>'
    '<path d="M11 8.5v15l12-7.5z" fill="#fff"/></svg>'
)


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

    ui.run_with(
        app,
        title="Runplane",
        favicon=_ICON,
        dark=None,
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_SECONDS,
        message_history_length=_MESSAGES_KEPT,
        show_welcome_message=False,
    )
