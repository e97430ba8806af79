"""The hosts: whether each is there, how much of it is taken, what it said of itself, and the runs it holds."""

import asyncio

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.following import call, follow
from control_plane.dashboard.frame import empty, page, pairs
from control_plane.dashboard.host_card import host_pill, meter, meters
from control_plane.dashboard.live import LiveRows
from control_plane.read_model import HostView

STRIDE_SECONDS = 1.0


def build(context: Context, live: LiveRows) -> None:
    """Build the page for one viewer."""
    with page("Hosts"):
        with ui.row().classes("rp-headline"):
            ui.label("Hosts").classes("rp-title").props("role=heading aria-level=1")
            total = ui.label().classes("rp-soft")
        place = ui.element("div").classes("rp-cards")
        shown: list[HostView] = []
        client = ui.context.client

        def show() -> None:
            hosts = context.read_model.hosts()
            if shown == hosts and hosts:
                return
            shown[:] = hosts
            online = sum(host.status == "online" for host in hosts)
            total.set_text(f"{online} of {len(hosts)} online")
            place.clear()
            with place:
                for host in hosts:
                    since = _card(host)
                    call(client, "time", since.id, int(host.last_seen.timestamp() * 1000), None)
                if not hosts:
                    empty("No host has joined.", "Start an agent: runplane agent")

        async def show_changes() -> None:
            with live.viewer() as changed:
                while True:
                    await changed.wait()
                    changed.clear()
                    show()
                    await asyncio.sleep(STRIDE_SECONDS)

        show()
        follow("hosts", show_changes)


def _pressure(host: HostView) -> str:
    """Of the last ten seconds, how much of the time some work waited for what."""
    if host.pressure is None:
        return words.NOTHING
    waits = host.pressure
    return f"cores {waits.cpu_some:.0f} %, memory {waits.memory_some:.0f} %, disks {waits.io_some:.0f} %"


def _card(host: HostView) -> ui.label:
    """The label that is to say how long ago it was heard from is returned."""
    with ui.card().classes("rp-card").props(f'role=group aria-label="Host {host.host_id}"'):
        with ui.row().classes("rp-headline"):
            ui.label(host.host_id).classes("rp-heading").props("role=heading aria-level=2")
            host_pill(host)
            ui.space()
            ui.link(f"{host.running} open runs", f"/runs?status=open&host={host.host_id}").classes("rp-link")
        with ui.element("div").classes("rp-meters"):
            for name, share, text in meters(host):
                meter(name, share, text)
        with ui.row().classes("rp-soft gap-1"):
            ui.label("last heard from")
            since = ui.label()
            ui.label("ago")
        load = f"{host.load[0]:.2f} · {host.load[1]:.2f} · {host.load[2]:.2f}" if host.load else words.NOTHING
        pairs(
            [
                ("pools", ", ".join(host.pools)),
                ("cores, memory", f"{host.cpus}, {words.size(host.memory_bytes)}"),
                ("load 1, 5, 15 min", load),
                ("waits for", _pressure(host)),
                ("ends trees by", host.mechanism),
                ("agent", f"{host.agent_id}, version {host.version}"),
                ("platform", host.platform),
                ("joined", words.clock(host.joined_at)),
            ]
        )
        if host.status == "absent" and host.running:
            with ui.element("code").classes("rp-type"):
                ui.label(f"runplane ps --host {host.host_id}")
    return since
