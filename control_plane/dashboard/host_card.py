"""A host as it is shown: whether it is there, how much of it is taken. Built once, then only what differs is set."""

from nicegui import ui

from control_plane.dashboard import words
from control_plane.dashboard.following import call
from control_plane.dashboard.frame import pairs
from control_plane.read_model import HostView

HUE = {"online": "green", "draining": "amber", "absent": "red"}
_NEARLY_FULL = 0.85


class HostPart:
    """What overview and page share: its name, its state, and three meters."""

    def __init__(self, host: HostView) -> None:
        """Build it where the caller stands; :meth:`set` fills it."""
        with ui.element("div").classes("rp-item-head"):
            self._pill = ui.label()
            ui.link(host.host_id, "/hosts").classes("rp-item-title")
            self._runs = ui.link(target=f"/runs?status=open&host={host.host_id}").classes("rp-link rp-since")
        with ui.element("div").classes("rp-meters"):
            self._meters = [Meter(name) for name, _, _ in meters(host)]

    def set(self, host: HostView) -> None:
        """As it is now."""
        self._pill.set_text(host.status)
        self._pill.classes(replace=f"rp-pill rp-{HUE[host.status]}")
        self._runs.set_text(f"{host.running} of {host.slots} slots")
        for meter, (_, share, text) in zip(self._meters, meters(host), strict=True):
            meter.set(share, text)


class HostRow:
    """One line of the overview."""

    def __init__(self, host: HostView) -> None:
        """Build it where the caller stands."""
        self.place = ui.element("div").classes("rp-host")
        with self.place:
            self._part = HostPart(host)
        self.set(host)

    def set(self, host: HostView) -> None:
        """As it is now."""
        self._part.set(host)


class HostCard:
    """All that is known of it."""

    def __init__(self, host: HostView) -> None:
        """Build it where the caller stands."""
        self._client = ui.context.client
        self._said: list[tuple[str, str]] = []
        self.place = ui.card().classes("rp-card").props(f'role=group aria-label="Host {host.host_id}"')
        with self.place:
            self._part = HostPart(host)
            with ui.row().classes("rp-soft gap-1"):
                ui.label("last heard from")
                self._since = ui.label()
                ui.label("ago")
            self._live = ui.label().classes("rp-soft")
            self._lines = ui.element("div")
            with ui.element("code").classes("rp-type") as self._next:
                ui.label(f"runplane ps --host {host.host_id}")
        self.set(host)

    def set(self, host: HostView) -> None:
        """As it is now."""
        self._part.set(host)
        call(self._client, "time", self._since.id, int(host.last_seen.timestamp() * 1000), None)
        self._live.set_text(_live(host))
        self._next.set_visibility(host.status == "absent" and host.running > 0)
        lines = [
            ("pools", ", ".join(host.pools)),
            ("cores, memory", f"{host.cpus}, {words.size(host.memory_bytes)}"),
            ("ends trees by", host.mechanism),
            ("agent", f"{host.agent_id}, version {host.version}"),
            ("platform", host.platform),
            ("joined", words.clock(host.joined_at)),
        ]
        if lines == self._said:
            return
        self._said = lines
        self._lines.clear()
        with self._lines:
            pairs(lines)


class Meter:
    """A labelled bar; amber when nearly full, red when over."""

    def __init__(self, name: str) -> None:
        """Build it where the caller stands."""
        with ui.element("div").classes("rp-meter"):
            with ui.element("div").classes("rp-meter-words"):
                ui.label(name).classes("rp-label")
                self._text = ui.label().classes("rp-label rp-strong")
            self._bar = ui.element("div").classes("rp-bar")
            self._bar.props(f'role=meter aria-label="{name}" aria-valuemin=0 aria-valuemax=100')
            with self._bar:
                self._fill = ui.element("div")

    def set(self, share: float | None, text: str) -> None:
        """``share``: of the whole, over 1 when it is more than full; None where that is not known."""
        full = share or 0.0
        hue = "red" if full > 1 else "amber" if full > _NEARLY_FULL else "blue"
        self._text.set_text(text if share is not None else words.NOTHING)
        self._bar.props(f"aria-valuenow={round(100 * full)}")
        self._fill.classes(replace=f"rp-fill-{hue}")
        self._fill.style(f"width: {min(100.0, 100 * full):.0f}%")


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


def _live(host: HostView) -> str:
    """Its load, and of the last ten seconds how much of the time some work waited for what."""
    load = f"load {host.load[0]:.2f} · {host.load[1]:.2f} · {host.load[2]:.2f}" if host.load else ""
    if host.pressure is None:
        return load
    waits = host.pressure
    return (
        f"{load}; work waits for cores {waits.cpu_some:.0f} %, memory {waits.memory_some:.0f} %, "
        f"disks {waits.io_some:.0f} % of the time"
    )
