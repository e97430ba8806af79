"""The live table of runs: filters in the address, deltas only, many killed at once after a look at which."""

import asyncio
import json
from typing import Any

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.bulk_kill import BulkKillDialog
from control_plane.dashboard.following import call, call_raw, follow
from control_plane.dashboard.frame import page
from control_plane.dashboard.live import MOST_ROWS, LiveRows
from control_plane.dashboard.narrowing import PERIODS, STATUSES, Narrowing
from runplane.contract.run import Actor, Status

STRIDE_SECONDS = 0.1
"""The ticks set the pace; this only bounds a viewer that is told of samples, too."""


def build(context: Context, live: LiveRows, narrowing: Narrowing, actor: Actor) -> None:
    """Build the page for one viewer."""
    live.start()
    with page("Runs", fills=True):
        with ui.row().classes("rp-bar-of-filters rp-wraps"):
            ui.label("Runs").classes("rp-title").props("role=heading aria-level=1")
            totals = ui.label(_totals(live.counts())).classes("rp-soft rp-totals")
            filters = _filters(context, narrowing)
            kill = ui.button("Kill …", icon="stop_circle").props("unelevated no-caps dense color=negative")
            kill.classes("rp-button").disable()
        turn = live.turn
        grid = _grid(live, narrowing)
        client = ui.context.client
        dialog = BulkKillDialog(context, actor)
        grid.on("chosen", lambda event: _chosen(kill, int(event.args["count"])))
        kill.on("click", lambda event: dialog.ask(event.args), js_handler=f"() => emit(rp.chosen({grid.id}))")

        def narrow() -> None:
            values = {name: control.value or "" for name, control in filters.items()}
            values["stuck"] = "true" if filters["stuck"].value else ""
            call(client, "narrow", grid.id, values)

        async def show_changes() -> None:
            seen = turn
            with live.viewer() as changed:
                while True:
                    await changed.wait()
                    changed.clear()
                    ticks = live.since(seen)
                    seen = live.turn
                    if ticks is None:
                        call(client, "sendAll", grid.id, live.rows())
                    for tick in ticks or ():
                        call_raw(client, f"rp.send({grid.id}, {tick})")
                    totals.set_text(_totals(live.counts()))
                    await asyncio.sleep(STRIDE_SECONDS)

        for control in filters.values():
            control.on_value_change(narrow)
        follow("rows", show_changes)


def _chosen(button: ui.button, count: int) -> None:
    button.set_text(f"Kill {count} …" if count else "Kill …")
    button.set_enabled(count > 0)


def _filters(context: Context, narrowing: Narrowing) -> dict[str, Any]:
    workflows = sorted({view.name for view in context.read_model.workflows()} | {narrowing.workflow} - {""})
    hosts = sorted({host.host_id for host in context.read_model.hosts()} | {narrowing.host} - {""})
    shown = "dense outlined options-dense"
    controls: dict[str, Any] = {
        "status": ui.select(STATUSES, value=narrowing.status, label="Status"),
        "workflow": ui.select(_any_of(workflows), value=narrowing.workflow, label="Workflow"),
        "host": ui.select(_any_of(hosts), value=narrowing.host, label="Host"),
        "started": ui.select(PERIODS, value=narrowing.started, label="Asked for"),
    }  # fmt: skip
    for control in controls.values():
        control.classes("rp-filter").props(shown)
    controls["stuck"] = ui.checkbox("Stuck", value=narrowing.stuck == "true").props("dense")
    controls["q"] = ui.input("Search", value=narrowing.q).classes("rp-filter rp-search")
    controls["q"].props('dense outlined clearable debounce=200 aria-keyshortcuts="/"')
    return controls


def _any_of(names: list[str]) -> dict[str, str]:
    return {"": "all", **{name: name for name in names}}


def _grid(live: LiveRows, narrowing: Narrowing) -> ui.aggrid:
    columns = [
        {"field": "workflow", "headerName": "Workflow", "flex": 3, "minWidth": 150, ":cellRenderer": "rp.name"},
        {"field": "run_id", "headerName": "Run", "width": 152, ":cellRenderer": "rp.link"},
        {"field": "status", "headerName": "Status", "width": 188, "cellClass": "rp-centred",
         ":cellRenderer": "rp.pill"},
        {"field": "share", "headerName": "Progress", "flex": 5, "minWidth": 180, ":cellRenderer": "rp.bar"},
        {"field": "created", "headerName": "Age", "width": 88, ":valueFormatter": "rp.age", "sort": "desc"},
        {"field": "took", "headerName": "Took", "width": 96, ":valueGetter": "rp.tookValue",
         ":valueFormatter": "rp.took"},
        {"field": "host", "headerName": "Host", "width": 104},
        {"field": "spark", "headerName": "Trend", "width": 104, ":cellRenderer": "rp.spark", "sortable": False,
         "cellDataType": False},
        {"field": "cpu", "headerName": "CPU", "width": 70, ":valueFormatter": "rp.percent", "type": "rightAligned"},
        {"field": "memory", "headerName": "Memory", "width": 92, ":valueFormatter": "rp.size",
         "type": "rightAligned"},
        {"field": "by", "headerName": "Asked by", "width": 100},
    ]  # fmt: skip
    options = {
        "columnDefs": columns,
        "rowData": live.rows(),
        ":getRowId": "params => params.data.run_id",
        ":onGridReady": f"event => rp.ready(event, {json.dumps(narrowing.plain())}, {MOST_ROWS})",
        ":onGridSizeChanged": "rp.fit",
        ":onCellClicked": "rp.open",
        ":onCellKeyDown": "rp.open",
        ":onSelectionChanged": "rp.selectionChanged",
        ":noRowsOverlayComponent": "rp.nothing",
        "rowSelection": {"mode": "multiRow", "selectAll": "filtered", "enableClickSelection": False},
        "selectionColumnDef": {"width": 44, "suppressHeaderMenuButton": True},
        "rowHeight": 46,
        "headerHeight": 38,
        "animateRows": False,
        "accentedSort": False,
        "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
    }
    return ui.aggrid(options, auto_size_columns=False).classes("rp-grid").props('aria-label="Runs"')


def _totals(counts: dict[str, int]) -> str:
    return " · ".join(f"{counts[str(one)]} {words.status(one)}" for one in Status if counts.get(str(one)))
