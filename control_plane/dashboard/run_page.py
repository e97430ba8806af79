"""The page of one run: where it stands, what it uses, what it prints, its events, its receipt, and the buttons."""

import asyncio
from datetime import datetime

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.actions import RunActions, receipt_card
from control_plane.dashboard.debug_view import DebugView
from control_plane.dashboard.diagnosis_view import DiagnosisView
from control_plane.dashboard.following import call, follow, told_of
from control_plane.dashboard.frame import figure, page, pairs, pill
from control_plane.dashboard.output_view import OutputView
from control_plane.dashboard.resources_view import MARKED, ResourcesView
from control_plane.dashboard.steps_view import STEPS, StepsView
from control_plane.read_model import EventFilter
from runplane.contract.events import DiagnosisTaken
from runplane.contract.ids import is_run_id
from runplane.contract.run import AWAITING_DECISION, Actor, Run

STRIDE_SECONDS = 0.25
MOST_EVENTS = 500
_TABS = ("Output", "Diagnosis", "Debug", "Steps", "Resources", "Events", "Receipt", "Details")


def build(context: Context, run_id: str, actor: Actor) -> None:
    """Build the page for one viewer."""
    run = context.read_model.run(run_id) if is_run_id(run_id) else None
    if run is not None:
        with page(run_id, section="Runs", fills=True):
            RunPage(context, run, actor)
        return
    with page("No such run"), ui.card().classes("rp-card gap-2"):
        ui.label(f"There is no run {words.one_line(run_id, 60)}").classes("rp-title")
        ui.label("Its id may be misspelt, or it belongs to another control plane.").classes("rp-soft")
        ui.link("All runs", "/runs").classes("rp-link")


class RunPage:
    """What is shown is set anew whenever the run changed; the output and the events only grow."""

    def __init__(self, context: Context, run: Run, actor: Actor) -> None:
        """Build, and begin to follow."""
        self._context = context
        self._run_id = run.run_id
        self._seq = 0
        self._built_at = context.read_model.position  # what comes after it is told by the events
        self._shown: Run | None = None
        self._details_shown: list[tuple[str, str]] = []
        self._client = ui.context.client
        with ui.card().classes("rp-card rp-top"):
            with ui.row().classes("rp-headline"):
                ui.label(run.run_id).classes("rp-title rp-mono").props("role=heading aria-level=1")
                self._pill_place = ui.element("span").props("role=status")
                ui.label(f"{run.workflow} · version {run.workflow_version}").classes("rp-soft")
                ui.space()
                self._show_buttons = RunActions(context, run.run_id, actor).buttons()
            self._banner = ui.element("div").classes("rp-banner").props("role=alert")
            self._say = ui.label().classes("rp-say")
            with ui.element("div").classes("rp-bar rp-bar-wide") as self._bar:
                self._fill = ui.element("div")
            self._links = ui.row().classes("gap-4")
            self._figures()
        with ui.card().classes("rp-card rp-parts"):
            with ui.tabs().props("dense no-caps align=left") as tabs:
                for name in _TABS:
                    ui.tab(name)
            self._panels = {name: self._panel(name) for name in _TABS}
            with self._panels["Output"]:
                self._output = OutputView(context, run.run_id)
            with self._panels["Diagnosis"]:
                self._diagnosis = DiagnosisView(
                    context, run.run_id, actor, lambda: tabs.set_value("Diagnosis")
                )
            with self._panels["Debug"]:
                self._debug = DebugView(context, run.run_id, actor, lambda: tabs.set_value("Debug"))
            with self._panels["Steps"]:
                self._steps = StepsView()
            with self._panels["Resources"]:
                self._resources = ResourcesView(context, run.run_id)
            with self._panels["Events"]:
                self._events = _events_place()
            self._receipt, self._details = self._panels["Receipt"], self._panels["Details"]
        tabs.on_value_change(lambda event: self._open_panel(str(event.value)))
        tabs.set_value(_TABS[0])
        self._set(run)
        self._last_steps()
        follow(f"run {run.run_id}", self._follow)

    def _panel(self, name: str) -> ui.element:
        return ui.element("div").classes("rp-panel").props(f'role=tabpanel aria-label="{name}"')

    def _open_panel(self, chosen: str) -> None:
        """All panels stay in the page, so that what grows in them finds its place."""
        for name, panel in self._panels.items():
            panel.set_visibility(name == chosen)
        if chosen == "Output":
            self._output.shown()
        if chosen == "Resources":
            self._resources.begin()

    def _figures(self) -> None:
        with ui.row().classes("rp-figures"):
            self._took = figure("Time")
            self._expected = figure("Expected end")
            self._host = figure("Host")
            with ui.row().classes("rp-figures") as self._used:
                self._cpu = figure("CPU")
                self._memory = figure("Memory")
                self._processes = figure("Processes")
                self._files = figure("Open files")
                self._io = figure("Read / written")

    async def _follow(self) -> None:
        async with told_of(self._context, self._run_id) as told:
            while True:
                await told.wait()
                told.clear()
                run = self._context.read_model.run(self._run_id)
                if run is not None and run != self._shown:
                    self._set(run)
                self._add_events()
                await asyncio.sleep(STRIDE_SECONDS)

    def _last_steps(self) -> None:
        """The last steps and marks, which may be older than the events that are shown. The diagnosis has its own."""
        asked = [
            EventFilter(run_id=self._run_id, type=name, newest=True, limit=MOST_EVENTS)
            for name in (*STEPS, *MARKED.keys() - STEPS)
        ]
        records = sorted(
            (record for one in asked for record in self._context.read_model.events(one)),
            key=lambda record: record[0],
        )[-MOST_EVENTS:]
        self._steps.add(records)
        self._resources.mark(records)

    def _set(self, run: Run) -> None:
        self._sample(run)
        before, self._shown = self._shown, run
        if before is not None and before.seq == run.seq:
            return
        if before is None or before.status is not run.status:
            self._pill_place.clear()
            with self._pill_place:
                pill(run.status)
        self._show_buttons(run)
        self._debug.set(run)
        self._warn(before, run)
        self._say.set_text(
            words.saying(run.model_copy(update={"conditions": ()}))
            or ("" if run.status.ended else "It has reported no progress yet.")
        )
        if run.status.ended and (before is None or not before.status.ended):
            self._steps.end(_millis(run.ended_at))
        share = words.share(run.progress)
        self._bar.set_visibility(share is not None)
        self._fill.style(f"width: {100 * (share or 0):.1f}%")
        self._fill.classes(replace=f"rp-fill-{words.STATUS_HUE[run.status]}")
        self._host.set_text(run.host or words.NOTHING)
        self._expected.set_text(
            f"{run.expected_end:%H:%M:%S} UTC" if run.expected_end is not None else words.NOTHING
        )
        call(self._client, "time", self._took.id, _millis(run.started_at), _millis(run.ended_at))
        if before is None or _relatives(before) != _relatives(run):
            self._lineage(run)
        if before is None or before.kill_receipt != run.kill_receipt:
            self._set_receipt(run)
        self._set_details(run)

    def _warn(self, before: Run | None, run: Run) -> None:
        """What is wrong with it, and what to do next."""
        if before is not None and before.conditions == run.conditions:
            return
        self._banner.clear()
        self._banner.set_visibility(bool(run.conditions))
        with self._banner:
            for condition in run.conditions:
                with ui.element("div").classes("rp-item rp-edge-amber"):
                    with ui.element("div").classes("rp-item-head"):
                        name = (condition.verdict or "").replace("_", " ")
                        what = condition.type.replace("_", " ")
                        ui.label(f"{what}: {name}" if name else what).classes("rp-pill rp-amber")
                        since = ui.label().classes("rp-soft rp-since")
                        call(self._client, "time", since.id, _millis(condition.since), None)
                    ui.label(words.one_line(condition.detail, 600)).classes("rp-item-text")
                    if condition.type == AWAITING_DECISION:
                        with ui.element("code").classes("rp-type"):
                            ui.label(f"runplane decide {run.run_id} retry | resume | restart | give-up")
                    if condition.type == "stuck":
                        ui.button("Why?", icon="troubleshoot", on_click=self._diagnosis.ask).props(
                            "outline no-caps dense"
                        ).classes("rp-button rp-self-start")

    def _sample(self, run: Run) -> None:
        used = run.resources if not run.status.ended else None
        self._resources.add(used)
        self._used.set_visibility(not run.status.ended)
        self._cpu.set_text(f"{used.cpu_percent:.0f} %" if used else words.NOTHING)
        self._memory.set_text(words.size(used.rss_bytes) if used else words.NOTHING)
        self._processes.set_text(f"{used.processes} ({used.threads} threads)" if used else words.NOTHING)
        self._files.set_text(str(used.open_files) if used else words.NOTHING)
        self._io.set_text(
            f"{words.size(used.io_read_bytes)} / {words.size(used.io_write_bytes)}" if used else words.NOTHING
        )

    def _lineage(self, run: Run) -> None:
        lineage = _relatives(run)
        self._links.clear()
        self._links.set_visibility(any(lineage.values()))
        with self._links:
            for what, other in lineage.items():
                if other is not None:
                    ui.link(f"{what} {other}", f"/runs/{other}").classes("rp-link")

    def _add_events(self) -> None:
        first = self._seq == 0
        asked = EventFilter(run_id=self._run_id, since_seq=self._seq, newest=first, limit=MOST_EVENTS)
        records = self._context.read_model.events(asked)
        if not records:
            return
        self._seq = records[-1][0]
        new = [record for record in records if record[0] > self._built_at]
        self._steps.add(new)
        self._resources.mark(new)
        for _, envelope in new:
            if isinstance(envelope.data, DiagnosisTaken):
                self._diagnosis.add(envelope.data.diagnosis)
        rows = [
            (
                seq,
                f"{envelope.time:%H:%M:%S.%f}"[:-3],
                envelope.type,
                words.who(envelope),
                words.gist(envelope),
            )
            for seq, envelope in records
        ]
        call(self._client, "events", self._events.id, rows)

    def _set_receipt(self, run: Run) -> None:
        self._receipt.clear()
        with self._receipt:
            if run.kill_receipt is not None:
                receipt_card(run.kill_receipt)
            else:
                ui.label("Nothing of this run has been killed, so there is no receipt.").classes("rp-soft")

    def _set_details(self, run: Run) -> None:
        lines = [
            ("asked by", f"{run.requested_by} (through {run.requested_via})"),
            ("created", words.clock(run.created_at)),
            ("started", words.clock(run.started_at)),
            ("ended", words.clock(run.ended_at)),
            ("pool", run.pool or words.NOTHING),
        ]
        lines += [(f"parameter {name}", words.value(value)) for name, value in run.params.items()]
        for attempt in run.attempts:
            pid = f"pid {attempt.main.pid}, held by {attempt.mechanism}" if attempt.main else "no process"
            began = ", from where the one before it was" if attempt.resumed else ""
            failed = f"; {attempt.ending}: {attempt.failure.message}" if attempt.failure is not None else ""
            lines.append((f"attempt {attempt.attempt}", f"on {attempt.host}, {pid}{began}{failed}"))
        if run.checkpoint is not None:
            lines.append(("checkpoint", f"{run.checkpoint.id[:16]}, {words.clock(run.checkpoint.at)}"))
        if run.override is not None:
            lines.append(("declared", words.outcome(run)))
            lines.append(("was seen", run.override.observed))
        if lines == self._details_shown:
            return
        self._details_shown = lines
        self._details.clear()
        with self._details:
            pairs(lines)


def _events_place() -> ui.element:
    """The events, and a field that narrows them by type or words; the browser does it."""
    sought = (
        ui.element("input")
        .classes("rp-narrow")
        .props('type=search placeholder="Type or words" aria-label="Narrow the events" autocomplete=off')
    )
    place = ui.element("div").classes("rp-events").props("tabindex=0 role=log aria-live=off")
    sought.on("input", js_handler=f"event => rp.narrowEvents({place.id}, event.target.value)")
    return place


def _relatives(run: Run) -> dict[str, str | None]:
    return {
        "Restarted from": run.restarted_from,
        "Restarted as": run.restarted_as,
        "Recovers": run.recovers,
        "Followed by": run.recovered_by,
    }


def _millis(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None
