"""The audit: search over the log, and at any record the whole envelope and the state of its run at that moment.

A search stands in the address, so it can be kept and sent. It shows the newest page of what matches; older ones follow
by log position, so that what is told meanwhile moves nothing.
"""

import json
from typing import Any

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.audit_search import PAGE, Search
from control_plane.dashboard.frame import empty, page, pairs, pill
from control_plane.read_model import EventFilter
from runplane.contract.envelope import COMMAND_TYPES, EVENT_TYPES, Envelope


def build(context: Context, search: Search) -> None:
    """Build the page for one viewer."""
    with page("Audit"):
        with ui.row().classes("rp-headline"):
            ui.label("Audit").classes("rp-title").props("role=heading aria-level=1")
            ui.label(f"the log ends at {context.read_model.position}").classes("rp-soft")
        _form(search)
        faults = search.faults()
        if faults:
            for fault in faults.values():
                ui.label(fault).classes("rp-red").props("role=alert")
            return
        records = context.read_model.events(search.filter())
        opened = _opened(context, search.opened)
        with ui.element("div").classes("rp-columns" if opened else "rp-one-column"):
            with ui.card().classes("rp-card"):
                _records(search, records)
            if opened is not None:
                with ui.column().classes("rp-side"):
                    _record(context, search, *opened)


def _form(search: Search) -> None:
    """A plain form: the browser writes the address."""
    with ui.element("form").classes("rp-bar-of-filters rp-wraps").props("method=get action=/audit"):
        types = [*sorted(EVENT_TYPES), *sorted(COMMAND_TYPES)]
        with ui.element("datalist").props("id=rp-types"):
            for name in types:
                ui.element("option").props["value"] = name
        _input("type", "Type", search.type, listed="rp-types")
        _input("actor", "Who asked", search.actor)
        _input("run", "Run", search.run)
        _input("host", "Host", search.host)
        _input("since", "Since (UTC)", search.since, type="datetime-local")
        _input("until", "Until (UTC)", search.until, type="datetime-local")
        ui.button("Search", icon="search").props("unelevated no-caps dense type=submit").classes("rp-button")
        ui.link("Reset", "/audit").classes("rp-link")


def _input(name: str, label: str, value: str, *, type: str = "text", listed: str = "") -> None:
    with ui.element("label").classes("rp-field"):
        ui.label(label).classes("rp-label")
        field = ui.element("input")
        field.props(f"type={type} name={name} autocomplete=off" + (f" list={listed}" if listed else ""))
        field.props["value"] = value[:16] if type == "datetime-local" else value


def _records(search: Search, records: list[tuple[int, Envelope]]) -> None:
    with ui.element("div").classes("rp-records").props('role=list aria-label="Records"'):
        for seq, envelope in reversed(records):
            chosen = " rp-chosen" if seq == search.opened else ""
            with (
                ui.link(target=search.address(seq=str(seq)))
                .classes(f"rp-record{chosen}")
                .props("role=listitem")
            ):
                ui.label(str(seq)).classes("rp-soft rp-number")
                ui.label(f"{envelope.time:%m-%d %H:%M:%S.%f}"[:-3]).classes("rp-soft")
                ui.label(envelope.type).classes("rp-event-type" + (" rp-blue" if envelope.is_command else ""))
                ui.label(envelope.run_id or "").classes("rp-soft")
                ui.label(words.who(envelope)).classes("rp-soft")
                ui.label(words.gist(envelope)).classes("rp-event-gist rp-cut")
    if not records:
        empty("No record is like that.", "Take a filter away, or look at an earlier time.")
    with ui.row().classes("rp-choices"):
        if search.before:
            ui.link("Newest", search.address(before="")).classes("rp-link")
        if len(records) == PAGE:
            ui.link("Older", search.address(before=str(records[0][0]))).classes("rp-link")


def _opened(context: Context, seq: int | None) -> tuple[int, Envelope] | None:
    if seq is None or not 0 < seq <= context.read_model.position:
        return None
    found = context.read_model.events(EventFilter(since_seq=seq - 1, before_seq=seq + 1, limit=1))
    return found[0] if found else None


def _record(context: Context, search: Search, seq: int, envelope: Envelope) -> None:
    with ui.card().classes("rp-card"):
        with ui.row().classes("rp-headline"):
            ui.label(f"{seq} · {envelope.type}").classes("rp-heading").props("role=heading aria-level=2")
            ui.space()
            if envelope.run_id is not None:
                _steps_through(context, search, seq, envelope.run_id)
            ui.link("Close", search.address(seq="")).classes("rp-link")
        pairs(
            [
                ("time", f"{envelope.time.isoformat()}"),
                ("who", f"{envelope.actor.principal} (through {envelope.actor.surface})"),
                ("source", envelope.source),
            ]
        )
        _code(envelope.model_dump(mode="json"))
    if envelope.run_id is not None:
        _state(context, envelope.run_id, seq)


def _steps_through(context: Context, search: Search, seq: int, run_id: str) -> None:
    """To the record before and after this one in the run's own story."""
    before = context.read_model.events(EventFilter(run_id=run_id, limit=1, before_seq=seq, newest=True))
    after = context.read_model.events(EventFilter(run_id=run_id, limit=1, since_seq=seq))
    for label, found in (("← Before", before), ("After →", after)):
        if found:
            ui.link(label, search.address(seq=str(found[0][0]))).classes("rp-link")


def _state(context: Context, run_id: str, seq: int) -> None:
    """The run as it was then, by the same fold that makes the live view."""
    run = context.read_model.state_at(run_id, seq).run
    with ui.card().classes("rp-card"):
        with ui.row().classes("rp-headline"):
            ui.label(f"The run at {seq}").classes("rp-heading").props("role=heading aria-level=2")
            if run is not None:
                pill(run.status)
            ui.space()
            ui.link(f"{run_id} now", f"/runs/{run_id}").classes("rp-link")
        if run is None:
            ui.label("Nobody had asked for it yet.").classes("rp-soft")
            return
        lines = [
            ("workflow", f"{run.workflow}, version {run.workflow_version}"),
            ("host", run.host or words.NOTHING),
        ]
        lines += [("progress", words.progress_text(run.progress) or words.NOTHING)]
        lines += [(f"condition {one.type}", one.detail or one.type) for one in run.conditions]
        pairs([*lines, ("so far", words.outcome(run) or words.NOTHING)])
        _code(run.model_dump(mode="json", exclude_none=True))


def _code(document: Any) -> None:
    with ui.element("pre").classes("rp-code").props("tabindex=0"):
        ui.label(json.dumps(document, indent=2, ensure_ascii=False)[:200_000])
