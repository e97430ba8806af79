"""The course of what a run uses: CPU, memory, reading and writing, with marks where something happened to it.

The browser keeps the points (``charts.js``) and is sent new ones only; both sides are bounded.
"""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.following import call
from runplane.contract.envelope import Envelope
from runplane.contract.run import Resources

MOST_POINTS = 2_000
MOST_MARKS = 60
MARKED = {
    "ProcessSpawned": ("started", "blue"), "StepStarted": ("step", "grey"), "ConditionRaised": ("stuck", "amber"),
    "ConditionCleared": ("goes on", "green"), "KillRun": ("kill", "violet"), "RestartRun": ("restart", "violet"),
    "ForceCompleteRun": ("declared", "violet"), "ProcessExited": ("exit", "red"),
}  # fmt: skip

Point = list[float | int | None]


class ResourcesView:
    """Of one viewer."""

    def __init__(self, context: Context, run_id: str) -> None:
        """Build the charts where the caller stands; :meth:`begin` fills them."""
        self._context = context
        self._run_id = run_id
        self._client = ui.context.client
        self._last: Resources | None = None
        self._marks: list[dict[str, Any]] = []
        self._begun = False
        self._charts: dict[str, ui.echart] = {}
        for name in ("CPU", "Memory", "Reading and writing"):
            ui.label(name).classes("rp-heading").props("role=heading aria-level=3")
            self._charts[name] = ui.echart({}).classes("rp-chart rp-chart-low").props("aria-hidden=true")
        self._said = ui.label("No sample was taken yet.").classes("rp-soft").props("role=status")

    def begin(self) -> None:
        """Draw what is known so far."""
        self._begun = True
        samples = self._context.telemetry.course(self._run_id)[-MOST_POINTS:]
        points = self._points(samples)
        options = {
            "CPU": _options("percent", [("CPU", "blue", points["cpu"], True)]),
            "Memory": _options(
                "bytes",
                [
                    ("resident", "violet", points["memory"], True),
                    ("proportional", "grey", points["pss"], False),
                ],
            ),
            "Reading and writing": _options(
                "bytes",
                [
                    ("read a second", "green", points["read"], False),
                    ("written", "amber", points["written"], False),
                ],
            ),
        }
        for name, chart in self._charts.items():
            options[name]["series"][0]["markLine"]["data"] = self._marks
            call(self._client, "chart", chart.id, options[name])
        self._say()

    def add(self, sample: Resources | None) -> None:
        """A new sample; the same one again adds nothing."""
        if sample is None or not self._begun or (self._last and self._last.sampled_at >= sample.sampled_at):
            return
        points = self._points((sample,))
        parts = {
            "CPU": {0: points["cpu"]},
            "Memory": {0: points["memory"], 1: points["pss"]},
            "Reading and writing": {0: points["read"], 1: points["written"]},
        }
        for name, chart in self._charts.items():
            call(self._client, "chartMore", chart.id, parts[name], None, MOST_POINTS)
        self._say()

    def mark(self, records: Sequence[tuple[int, Envelope]]) -> None:
        """What happened to the run."""
        new = [_mark(envelope) for _, envelope in records if envelope.type in MARKED]
        if not new:
            return
        self._marks = [*self._marks, *new][-MOST_MARKS:]
        if self._begun:
            for chart in self._charts.values():
                call(self._client, "chartMore", chart.id, {}, self._marks, MOST_POINTS)

    def _points(self, samples: Sequence[Resources]) -> dict[str, list[Point]]:
        """Rates need the sample before."""
        points: dict[str, list[Point]] = {"cpu": [], "memory": [], "pss": [], "read": [], "written": []}
        for sample in samples:
            moment = int(sample.sampled_at.timestamp() * 1000)
            points["cpu"].append([moment, sample.cpu_percent])
            points["memory"].append([moment, sample.rss_bytes])
            if sample.pss_bytes is not None:
                points["pss"].append([moment, sample.pss_bytes])
            before, self._last = self._last, sample
            seconds = (sample.sampled_at - before.sampled_at).total_seconds() if before is not None else 0.0
            if before is not None and seconds > 0:
                read = max(0, sample.io_read_bytes - before.io_read_bytes) / seconds
                written = max(0, sample.io_write_bytes - before.io_write_bytes) / seconds
                points["read"].append([moment, round(read)])
                points["written"].append([moment, round(written)])
        return points

    def _say(self) -> None:
        """The same in words, for who does not see the charts."""
        if self._last is not None:
            used = self._last
            self._said.set_text(
                f"Last sample {words.clock(used.sampled_at)}: {used.cpu_percent:.0f} % of a core, "
                f"{words.size(used.rss_bytes)}, {used.processes} processes, {used.threads} threads"
            )


def _mark(envelope: Envelope) -> dict[str, Any]:
    name, hue = MARKED[envelope.type]
    if envelope.type == "StepStarted":
        name = words.one_line(str(getattr(envelope.data, "name", name)), 24)
    return {
        "xAxis": int(envelope.time.timestamp() * 1000),
        "name": name,
        "lineStyle": {"color": f"--rp-{hue}", "type": "dashed", "width": 1},
        "label": {"color": f"--rp-{hue}", "fontSize": 10, "formatter": "{b}", "position": "insideEndTop"},
    }


def _options(kind: str, lines: list[tuple[str, str, list[Point], bool]]) -> dict[str, Any]:
    series = [
        {
            "type": "line", "name": name, "kind": kind, "data": points, "symbol": "none", "color": f"--rp-{hue}",
            "lineStyle": {"width": 1.5}, "sampling": "lttb", **({"areaStyle": {"opacity": 0.12}} if filled else {}),
        }
        for name, hue, points, filled in lines
    ]  # fmt: skip
    series[0]["markLine"] = {"symbol": "none", "animation": False, "data": []}
    return {
        "animation": False,
        "grid": {"left": 62, "right": 16, "top": 26 if len(lines) > 1 else 14, "bottom": 24},
        "legend": {
            "show": len(lines) > 1,
            "top": 0,
            "left": 0,
            "itemWidth": 12,
            "itemHeight": 8,
            "icon": "roundRect",
        },
        "tooltip": {"trigger": "axis", "confine": True},
        "dataZoom": [
            {"type": "inside", "filterMode": "none", "zoomOnMouseWheel": "ctrl", "moveOnMouseWheel": False}
        ],
        "xAxis": {"type": "time"},
        "yAxis": {
            "type": "value",
            "kind": kind,
            "min": 0,
            "splitNumber": 3,
            "minInterval": 5 if kind == "percent" else 1024,
        },
        "series": series,
    }
