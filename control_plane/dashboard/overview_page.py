"""The overview: how many runs stand how, what needs attention first, what went on, and how loaded the hosts are."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from nicegui import ui

from control_plane.dashboard import words
from control_plane.dashboard.charts import activity_options
from control_plane.dashboard.following import call, follow
from control_plane.dashboard.frame import empty, page
from control_plane.dashboard.host_card import HostRow
from control_plane.dashboard.live import LiveRows
from control_plane.dashboard.overview_facts import SPANS, Facts, Item, Overview
from control_plane.read_model import HostView
from runplane.contract.run import Status

STRIDE_SECONDS = 1.0
MOST_HOSTS = 20
_URGENCY = {"absent": 0, "draining": 1, "online": 2}


def build(live: LiveRows, overview: Overview) -> None:
    """Build the page for one viewer."""
    with page("Overview"):
        ui.label("Overview").classes("rp-title rp-only-heard").props("role=heading aria-level=1")
        OverviewPage(live, overview)


class OverviewPage:
    """What is shown is set anew where it differs from what is there."""

    def __init__(self, live: LiveRows, overview: Overview) -> None:
        """Build, and begin to follow."""
        self._live = live
        self._overview = overview
        self._client = ui.context.client
        self._shown: dict[str, Any] = {}
        self._span = next(iter(SPANS))
        self._tiles = ui.element("div").classes("rp-tiles").props('role=list aria-label="Runs by status"')
        with ui.element("div").classes("rp-columns"):
            with ui.card().classes("rp-card"):
                _heading("Needs attention")
                self._items = ui.element("div").classes("rp-items").props("role=list")
            with ui.column().classes("rp-side"):
                with ui.card().classes("rp-card"):
                    with ui.row().classes("rp-headline"):
                        _heading("Activity")
                        ui.space()
                        chosen = ui.toggle(list(SPANS), value=self._span).props("dense no-caps flat")
                        chosen.on_value_change(lambda event: self._choose(str(event.value)))
                    self._chart = ui.echart(activity_options([], 0, 1)).classes("rp-chart")
                    self._told = ui.label().classes("rp-only-heard")
                with ui.card().classes("rp-card"):
                    _heading("Hosts")
                    self._hosts = ui.element("div").classes("rp-hosts")
                    self._host_rows: list[HostRow] = []
                    self._more_hosts = ui.link(target="/hosts").classes("rp-link")
        self._set(overview.facts())
        follow("overview", self._follow)

    async def _follow(self) -> None:
        with self._live.viewer() as changed:
            while True:
                await changed.wait()
                changed.clear()
                self._set(self._overview.facts())
                await asyncio.sleep(STRIDE_SECONDS)

    def _choose(self, span: str) -> None:
        self._span = span
        self._set(self._overview.facts())

    def _is_new(self, part: str, value: Any) -> bool:
        if part in self._shown and self._shown[part] == value:
            return False
        self._shown[part] = value
        return True

    def _set(self, facts: Facts) -> None:
        if self._is_new("tiles", facts.counts):
            self._tiles.clear()
            with self._tiles:
                _tiles(facts.counts)
        if self._is_new("items", (facts.items, facts.more)):
            self._set_items(facts.items, facts.more)
        if self._is_new("activity", (self._span, facts.begin[self._span], facts.activity[self._span])):
            self._set_activity(facts)
        self._set_hosts(facts.hosts)

    def _set_items(self, items: Iterable[Item], more: int) -> None:
        self._items.clear()
        with self._items:
            for item in items:
                self._item(item)
            if more:
                ui.link(f"and {more} more", "/runs?stuck=true").classes("rp-link")
            if not self._shown["items"][0]:
                empty("Nothing needs you.", "Stuck runs, absent hosts and failing workflows stand here.")

    def _item(self, item: Item) -> None:
        with ui.element("div").classes(f"rp-item rp-edge-{item.hue}").props("role=listitem"):
            with ui.element("div").classes("rp-item-head"):
                ui.label(item.what).classes(f"rp-pill rp-{item.hue}")
                ui.link(item.title, item.href).classes("rp-item-title")
                if item.since is not None:
                    since = ui.label().classes("rp-soft rp-since")
                    call(self._client, "time", since.id, item.since, None)
            ui.label(item.text).classes("rp-item-text")
            if item.next:
                with ui.element("code").classes("rp-type"):
                    ui.label(item.next)

    def _set_activity(self, facts: Facts) -> None:
        seconds, bucket = SPANS[self._span]
        options = activity_options(
            facts.activity[self._span],
            int(facts.begin[self._span].timestamp() * 1000),
            bucket * 1000,
            seconds // bucket,
        )
        call(self._client, "chart", self._chart.id, options)
        total = sum(count for _, what, count in facts.activity[self._span] if what == "started")
        self._told.set_text(f"{total} runs were started in the last {self._span}")

    def _set_hosts(self, hosts: Sequence[HostView]) -> None:
        """Rows are made anew only where other hosts are shown, or in another order."""
        self._more_hosts.set_text(f"and {len(hosts) - MOST_HOSTS} more" if len(hosts) > MOST_HOSTS else "")
        shown = sorted(hosts, key=lambda host: (_URGENCY[host.status], host.host_id))[:MOST_HOSTS]
        if self._is_new("hosts", [host.host_id for host in shown]):
            self._hosts.clear()
            with self._hosts:
                self._host_rows = [HostRow(host) for host in shown]
                if not shown:
                    empty("No host has joined.", "Start an agent: runplane agent")
        for row, host in zip(self._host_rows, shown, strict=True):
            row.set(host)


def _heading(text: str) -> None:
    ui.label(text).classes("rp-heading").props("role=heading aria-level=2")


def _tiles(counts: dict[str, int]) -> None:
    """Open statuses always, the endings where there are any."""
    for status in Status:
        count = counts.get(str(status), 0)
        if status not in (Status.PENDING, Status.RUNNING) and not count:
            continue
        with ui.link(target=f"/runs?status={status}").classes("rp-tile").props("role=listitem"):
            ui.label(f"{count:,}".replace(",", " ")).classes(f"rp-tile-figure rp-{words.STATUS_HUE[status]}")
            ui.label(words.status(status)).classes("rp-label")
