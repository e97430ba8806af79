"""The page of one run: where it stands, what it uses, what it prints, its events, its receipt, and the buttons."""

from datetime import UTC, datetime

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.actions import RunActions, receipt_card
from control_plane.dashboard.frame import figure, page, pill
from control_plane.dashboard.output_view import OutputView
from control_plane.read_model import EventFilter
from runplane.contract.envelope import Envelope
from runplane.contract.run import Actor, Run

LOOK_SECONDS = 0.5
MOST_EVENTS = 500


def build(context: Context, run_id: str, actor: Actor) -> None:
    """Build the page for one viewer."""
    run = context.read_model.run(run_id)
    with page(run_id, "run"):
        if run is None:
            ui.label(f"There is no run {run_id}").classes("rp-title")
            ui.link("All runs", "/").classes("rp-soft")
            return
        RunPage(context, run, actor)


class RunPage:
    """What is shown is set anew whenever the run changed; the output and the events only grow."""

    def __init__(self, context: Context, run: Run, actor: Actor) -> None:
        """Build, and begin to follow."""
        self._context = context
        self._run_id = run.run_id
        self._seq = 0
        self._shown: Run | None = None
        with ui.card().classes("rp-card gap-3"):
            with ui.row().classes("items-center w-full gap-3"):
                ui.label(run.run_id).classes("rp-title rp-mono").style("font-size: 1.2rem")
                self._pill_place = ui.element("span")
                ui.label(f"{run.workflow} v{run.workflow_version}").classes("rp-soft")
                ui.space()
                self._show_buttons = RunActions(context, run.run_id, actor).buttons()
            self._say = ui.label().style("overflow-wrap: anywhere")
            self._bar = ui.linear_progress(value=0, show_value=False, size="6px").props(
                "rounded instant-feedback"
            )
            self._links = ui.row().classes("gap-4")
        self._figures()
        with ui.card().classes("rp-card"):
            with ui.tabs().props("dense no-caps align=left") as tabs:
                ui.tab("Output")
                ui.tab("Events")
                ui.tab("Receipt")
                ui.tab("Details")
            with ui.tab_panels(tabs, value="Output").classes("w-full").style("background: transparent"):
                with ui.tab_panel("Output").classes("q-pa-none q-pt-sm"):
                    self._output = OutputView(context, run.run_id)
                with ui.tab_panel("Events").classes("q-pa-none q-pt-sm"):
                    self._events = ui.column().classes("gap-1 w-full")
                with ui.tab_panel("Receipt").classes("q-pa-none q-pt-sm"):
                    self._receipt = ui.column().classes("w-full")
                with ui.tab_panel("Details").classes("q-pa-none q-pt-sm"):
                    self._details = ui.column().classes("gap-1 w-full")
        self._look()
        ui.timer(LOOK_SECONDS, self._look)

    def _figures(self) -> None:
        with ui.card().classes("rp-card"), ui.row().classes("w-full gap-8"):
            self._took = figure("Time", words.NOTHING)
            self._host = figure("Host", words.NOTHING)
            self._cpu = figure("CPU", words.NOTHING)
            self._memory = figure("Memory", words.NOTHING)
            self._processes = figure("Processes", words.NOTHING)
            self._files = figure("Open files", words.NOTHING)
            self._io = figure("Read / written", words.NOTHING)

    def _look(self) -> None:
        run = self._context.read_model.run(self._run_id)
        if run is None:
            return
        self._took.set_text(words.span(words.took(run, datetime.now(UTC))))
        if run == self._shown:
            return
        if self._shown is None or run.seq != self._shown.seq:
            self._set(run)
        self._sample(run)
        self._shown = run

    def _set(self, run: Run) -> None:
        self._pill_place.clear()
        with self._pill_place:
            pill(run.status)
        self._show_buttons(run)
        conditions = " · ".join(
            filter(None, (condition.detail or condition.type for condition in run.conditions))
        )
        self._say.set_text(
            conditions or words.outcome(run) or words.progress_text(run.progress) or _waiting(run)
        )
        share = words.share(run.progress)
        self._bar.set_visibility(share is not None)
        self._bar.set_value(share or 0)
        self._host.set_text(run.host or words.NOTHING)
        self._lineage(run)
        self._add_events()
        self._set_receipt(run)
        self._set_details(run)

    def _sample(self, run: Run) -> None:
        used = run.resources
        self._cpu.set_text(f"{used.cpu_percent:.0f} %" if used else words.NOTHING)
        self._memory.set_text(words.size(used.rss_bytes) if used else words.NOTHING)
        self._processes.set_text(f"{used.processes} ({used.threads} threads)" if used else words.NOTHING)
        self._files.set_text(str(used.open_files) if used else words.NOTHING)
        self._io.set_text(
            f"{words.size(used.io_read_bytes)} / {words.size(used.io_write_bytes)}" if used else words.NOTHING
        )

    def _lineage(self, run: Run) -> None:
        self._links.clear()
        with self._links:
            if run.restarted_from:
                ui.link(f"restarted from {run.restarted_from}", f"/runs/{run.restarted_from}").classes(
                    "rp-soft"
                )
            if run.restarted_as:
                ui.link(f"restarted as {run.restarted_as}", f"/runs/{run.restarted_as}").classes("rp-soft")

    def _add_events(self) -> None:
        asked = EventFilter(run_id=self._run_id, since_seq=self._seq, limit=MOST_EVENTS)
        with self._events:
            for seq, envelope in self._context.read_model.events(asked):
                self._seq = seq
                with ui.row().classes("w-full no-wrap gap-3 items-baseline"):
                    ui.label(str(seq)).classes("rp-soft rp-mono").style("min-width: 4ch")
                    ui.label(f"{envelope.time:%H:%M:%S.%f}"[:-3]).classes("rp-soft rp-mono")
                    ui.label(envelope.type).classes("rp-mono").style("font-weight: 600; min-width: 19ch")
                    ui.label(_who(envelope)).classes("rp-soft rp-wide").style("min-width: 20ch")
                    ui.label(_gist(envelope)).classes("rp-mono rp-wide").style("overflow-wrap: anywhere")

    def _set_receipt(self, run: Run) -> None:
        self._receipt.clear()
        with self._receipt:
            if run.kill_receipt is not None:
                receipt_card(run.kill_receipt)
            else:
                ui.label("Nothing of this run has been killed.").classes("rp-soft")

    def _set_details(self, run: Run) -> None:
        self._details.clear()
        lines = {
            "asked by": f"{run.requested_by} (through {run.requested_via})",
            "created": words.clock(run.created_at),
            "started": words.clock(run.started_at),
            "ended": words.clock(run.ended_at),
            "pool": run.pool or words.NOTHING,
            "parameters": ", ".join(f"{name}={value}" for name, value in run.params.items()) or "none",
        }
        for attempt in run.attempts:
            pid = f"pid {attempt.main.pid}, held by {attempt.mechanism}" if attempt.main else "no process"
            lines[f"attempt {attempt.attempt}"] = f"on {attempt.host}, {pid}"
        with self._details:
            for name, value in lines.items():
                with ui.row().classes("no-wrap gap-3 items-baseline"):
                    ui.label(name).classes("rp-soft").style("min-width: 12ch")
                    ui.label(value).classes("rp-mono").style("overflow-wrap: anywhere")


def _waiting(run: Run) -> str:
    if run.status == "pending":
        return (
            f"waiting for a host of pool {run.pool} with a free slot"
            if not run.host
            else f"waiting for {run.host}"
        )
    return "" if run.status.ended else "no progress reported yet"


def _who(envelope: Envelope) -> str:
    return f"{envelope.actor.principal} ({envelope.actor.surface})"


def _gist(envelope: Envelope) -> str:
    """The one thing that a reader looks for in a record."""
    data = envelope.data
    for name in ("reason", "message", "observed", "name", "new_run_id", "host"):
        value = getattr(data, name, None)
        if value:
            return f"{name}: {value}"[:200]
    failure = getattr(data, "failure", None)
    return str(failure.message)[:200] if failure is not None else ""
