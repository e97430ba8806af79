"""A host in a line: whether it is there, how much of it is taken."""

from nicegui import ui

from control_plane.dashboard import words
from control_plane.read_model import HostView

HUE = {"online": "green", "draining": "amber", "absent": "red"}


def host_row(host: HostView) -> None:
    """One line of the overview."""
    with ui.element("div").classes("rp-host"):
        with ui.element("div").classes("rp-item-head"):
            host_pill(host)
            ui.link(host.host_id, "/hosts").classes("rp-item-title")
            ui.label(f"{host.running} of {host.slots} slots").classes("rp-soft rp-since")
        with ui.element("div").classes("rp-meters"):
            for name, share, text in meters(host):
                meter(name, share, text)


def host_pill(host: HostView) -> None:
    """Its state, coloured."""
    ui.label(host.status).classes(f"rp-pill rp-{HUE[host.status]}")


def meters(host: HostView) -> list[tuple[str, float | None, str]]:
    """What is taken of its slots, cores and memory: the share, and in words."""
    slots = host.running / host.slots if host.slots else None
    load = host.load[0] / host.cpus if host.load is not None and host.cpus else None
    available = host.memory_available_bytes
    used = None if available is None or not host.memory_bytes else 1 - available / host.memory_bytes
    loaded = f"{host.load[0]:.2f} of {host.cpus}" if host.load is not None else words.NOTHING
    filled = f"{used:.0%} of {words.size(host.memory_bytes)}" if used is not None else words.NOTHING
    away = host.status == "absent"
    return [
        ("Slots", slots, f"{host.running} of {host.slots}"),
        ("Load", None if away else load, loaded),
        ("Memory", None if away else used, filled),
    ]


def meter(name: str, share: float | None, text: str) -> None:
    """A labelled bar; amber when nearly full, red when over."""
    full = share or 0.0
    hue = "red" if full > 1 else "amber" if full > 0.85 else "blue"  # noqa: PLR2004 - where a person begins to worry
    with ui.element("div").classes("rp-meter"):
        with ui.element("div").classes("rp-meter-words"):
            ui.label(name).classes("rp-label")
            ui.label(text if share is not None else words.NOTHING).classes("rp-label rp-strong")
        with (
            ui.element("div")
            .classes("rp-bar")
            .props(
                f'role=meter aria-label="{name}" aria-valuemin=0 aria-valuemax=100 aria-valuenow={round(100 * full)}'
            )
        ):
            ui.element("div").classes(f"rp-fill-{hue}").style(f"width: {min(100.0, 100 * full):.1f}%")
