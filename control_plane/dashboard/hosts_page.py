"""The hosts: whether each is there, how much of it is taken, what it said of itself, and the runs it holds."""

import asyncio

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard.following import follow
from control_plane.dashboard.frame import empty, page
from control_plane.dashboard.host_card import HostCard
from control_plane.dashboard.live import LiveRows

STRIDE_SECONDS = 1.0


def build(context: Context, live: LiveRows) -> None:
    """Build the page for one viewer."""
    with page("Hosts"):
        with ui.row().classes("rp-headline"):
            ui.label("Hosts").classes("rp-title").props("role=heading aria-level=1")
            total = ui.label().classes("rp-soft")
        nobody = ui.element("div")
        with nobody:
            empty("No host has joined.", "Start an agent: runplane agent")
        place = ui.element("div").classes("rp-cards")
        cards: dict[str, HostCard] = {}

        def show() -> None:
            """A host that joined stays: the log forgets none."""
            hosts = context.read_model.hosts()
            online = sum(host.status == "online" for host in hosts)
            total.set_text(f"{online} of {len(hosts)} online")
            nobody.set_visibility(not hosts)
            for host in hosts:
                if host.host_id in cards:
                    cards[host.host_id].set(host)
                else:
                    with place:
                        cards[host.host_id] = HostCard(host)

        async def show_changes() -> None:
            with live.viewer() as changed:
                while True:
                    await changed.wait()
                    changed.clear()
                    show()
                    await asyncio.sleep(STRIDE_SECONDS)

        show()
        follow("hosts", show_changes)
