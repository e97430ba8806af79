"""Puts the dashboard onto the application."""

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import audit_page, hosts_page, overview_page, run_page, runs_page, workflows_page
from control_plane.dashboard.audit_search import Search
from control_plane.dashboard.live import LiveRows
from control_plane.dashboard.narrowing import Narrowing
from control_plane.dashboard.overview_facts import Overview
from runplane.contract.run import Actor

RECONNECT_SECONDS = 10.0
"""How long a page that lost its connection may come back to what it was; after that it loads itself again."""
_MESSAGES_KEPT = 200
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#2563eb"/>'
    '<path d="M11 8.5v15l12-7.5z" fill="#fff"/></svg>'
)


def _viewer(request: Request) -> Actor:
    """Who looks: set by the gate; what they ask for comes through the dashboard."""
    actor: Actor = request.state.actor
    return actor.model_copy(update={"surface": "dashboard"})


def mount(app: FastAPI, context: Context) -> None:
    """Add the pages; whoever reaches one has been let in by the authentication of the whole application."""
    live = LiveRows(context)
    facts = Overview(context)

    @ui.page("/")
    def overview(request: Request) -> RedirectResponse | None:
        if request.query_params:  # where the table once stood; links to it go on
            return RedirectResponse(f"/runs?{request.url.query}")
        overview_page.build(live, facts)
        return None

    @ui.page("/runs")
    def runs(request: Request) -> None:
        runs_page.build(context, live, Narrowing.of(request.query_params), _viewer(request))

    @ui.page("/hosts")
    def hosts() -> None:
        hosts_page.build(context, live)

    @ui.page("/workflows")
    def workflows() -> None:
        workflows_page.build_list(context)

    @ui.page("/workflows/{name}")
    def workflow(name: str, request: Request) -> None:
        workflows_page.build_one(context, name, _viewer(request))

    @ui.page("/audit")
    def audit(request: Request) -> None:
        audit_page.build(context, Search.of(request.query_params))

    @ui.page("/runs/{run_id}")
    def run(run_id: str, request: Request) -> None:
        run_page.build(context, run_id, _viewer(request))

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
