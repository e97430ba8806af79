"""The live table of runs: filters in the address, row deltas only."""

import asyncio
import json

from nicegui import ui

from control_plane.dashboard import words
from control_plane.dashboard.following import call, follow
from control_plane.dashboard.frame import page
from control_plane.dashboard.live import MOST_ROWS, LiveRows
from runplane.contract.run import Status

STRIDE_SECONDS = 0.25


def build(live: LiveRows, status: str, search: str) -> None:
    """Build the page for one viewer."""
    live.start()
    status = status if status in _choices() else ""
    with page("Runs", fills=True):
        with ui.row().classes("rp-bar-of-filters"):
            ui.label("Runs").classes("rp-title").props("role=heading aria-level=1")
            totals = ui.label(_totals(live.counts())).classes("rp-soft rp-totals")
            chosen = ui.select(_choices(), value=status, label="Status").classes("rp-filter")
            chosen.props("dense outlined options-dense")
            sought = ui.input("Search", value=search).classes("rp-filter rp-search")
            sought.props('dense outlined clearable debounce=200 aria-keyshortcuts="/"')
        turn = live.turn
        grid = _grid(live, status, search)
        client = ui.context.client

        def narrow() -> None:
            call(client, "narrow", grid.id, chosen.value or "", sought.value or "")

        async def show_changes() -> None:
            seen = turn
            with live.viewer() as changed:
                while True:
                    await changed.wait()
                    changed.clear()
                    delta = live.since(seen)
                    seen = delta.turn
                    if delta.rows or delta.gone:
                        call(client, "send", grid.id, delta.rows, delta.gone)
                    totals.set_text(_totals(live.counts()))
                    await asyncio.sleep(STRIDE_SECONDS)

        chosen.on_value_change(narrow)
        sought.on_value_change(narrow)
        follow("rows", show_changes)


def _choices() -> dict[str, str]:
    return {"": "all", "open": "open", **{str(one): words.status(one) for one in Status}}


def _grid(live: LiveRows, status: str, search: str) -> ui.aggrid:
    columns = [
        {"field": "workflow", "headerName": "Workflow", "flex": 3, "minWidth": 150, ":cellRenderer": "rp.name"},
        {"field": "run_id", "headerName": "Run", "width": 152, ":cellRenderer": "rp.link"},
        {"field": "status", "headerName": "Status", "width": 146, "cellClass": "rp-centred",
         ":cellRenderer": "rp.pill"},
        {"field": "share", "headerName": "Progress", "flex": 5, "minWidth": 180, ":cellRenderer": "rp.bar"},
        {"field": "created", "headerName": "Age", "width": 88, ":valueFormatter": "rp.age", "sort": "desc"},
        {"field": "took", "headerName": "Took", "width": 96, ":valueGetter": "rp.tookValue",
         ":valueFormatter": "rp.took"},
        {"field": "host", "headerName": "Host", "width": 104},
        {"field": "cpu", "headerName": "CPU", "width": 70, ":valueFormatter": "rp.percent", "type": "rightAligned"},
        {"field": "memory", "headerName": "Memory", "width": 92, ":valueFormatter": "rp.size",
         "type": "rightAligned"},
        {"field": "by", "headerName": "Asked by", "width": 100},
    ]  # fmt: skip
    options = {
        "columnDefs": columns,
        "rowData": live.rows(),
        ":getRowId": "params => params.data.run_id",
        ":onGridReady": f"event => rp.ready(event, {json.dumps(status)}, {json.dumps(search)}, {MOST_ROWS})",
        ":onGridSizeChanged": "rp.fit",
        ":onCellClicked": "rp.open",
        ":onCellKeyDown": "rp.open",
        ":noRowsOverlayComponent": "rp.nothing",
        "rowHeight": 46,
        "headerHeight": 38,
        "animateRows": False,
        "accentedSort": False,
        "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
    }
    return ui.aggrid(options, auto_size_columns=False).classes("rp-grid").props('aria-label="Runs"')


def _totals(counts: dict[str, int]) -> str:
    return " · ".join(f"{counts[str(one)]} {words.status(one)}" for one in Status if counts.get(str(one)))
