"""The live table of runs: filters in the address, row deltas only."""

import json
from datetime import UTC, datetime

from nicegui import ui
from nicegui.events import GenericEventArguments

from control_plane.dashboard.frame import page
from control_plane.dashboard.live import LiveRows
from runplane.contract.run import Status

LOOK_SECONDS = 0.5


def build(live: LiveRows, status: str, search: str) -> None:
    """Build the page for one viewer."""
    live.start()
    with page("Runs", "runs"):
        with ui.row().classes("items-center w-full"):
            ui.label("Runs").classes("rp-title")
            totals = ui.label().classes("rp-soft")
            ui.space()
            chosen = ui.select(_choices(), value=status if status in _choices() else "", label="Status")
            chosen.props("dense outlined options-dense").classes("w-36 rp-filter")
            sought = (
                ui.input("Search", value=search)
                .props("dense outlined clearable debounce=200")
                .classes("w-56 rp-filter")
            )
        empty = ui.label("No run yet. Start one:  runplane run WORKFLOW").classes("rp-soft rp-mono")
        grid = _grid(live)
        seen = {"turn": live.turn}

        def narrow() -> None:
            ui.run_javascript(
                f"rp.narrow({grid.id}, {json.dumps(chosen.value or '')}, {json.dumps(sought.value or '')})"
            )

        def look() -> None:
            live.sample()
            changed = live.changed_since(seen["turn"])
            seen["turn"] = live.turn
            if changed:
                ui.run_javascript(f"rp.send({grid.id}, {json.dumps(changed)})")
            ui.run_javascript(f"rp.tick({grid.id})")
            totals.set_text(_totals(live.counts()))
            empty.set_visibility(live.turn == 0)

        chosen.on_value_change(narrow)
        sought.on_value_change(narrow)
        grid.on("cellClicked", _open)
        ui.timer(LOOK_SECONDS, look)
        if status or search:
            ui.timer(LOOK_SECONDS, narrow, once=True)


def _choices() -> dict[str, str]:
    return {"": "all", "open": "open", **{str(one): str(one).replace("_", " ") for one in Status}}


def _grid(live: LiveRows) -> ui.aggrid:
    columns = [
        {"field": "run_id", "headerName": "Run", "width": 170, "cellClass": "rp-mono"},
        {"field": "workflow", "headerName": "Workflow", "flex": 1, "minWidth": 110},
        {"field": "status", "headerName": "Status", "width": 150, ":cellRenderer": "rp.pill"},
        {"field": "share", "headerName": "Progress", "flex": 2, "minWidth": 160, ":cellRenderer": "rp.bar"},
        {"field": "created", "headerName": "Time", "width": 115, ":valueFormatter": "rp.age", "sort": "desc"},
        {"field": "host", "headerName": "Host", "width": 130},
        {"field": "cpu", "headerName": "CPU", "width": 85, ":valueFormatter": "rp.percent"},
        {"field": "memory", "headerName": "Memory", "width": 105, ":valueFormatter": "rp.size"},
        {"field": "by", "headerName": "Asked by", "width": 110},
    ]
    options = {
        "columnDefs": columns,
        "rowData": live.rows(),
        ":getRowId": "params => params.data.run_id",
        "rowHeight": 46,
        "headerHeight": 38,
        "animateRows": False,
        "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
        "overlayNoRowsTemplate": "<span></span>",
    }
    return ui.aggrid(options, auto_size_columns=False).classes("rp-grid")


def _open(event: GenericEventArguments) -> None:
    run_id = (event.args.get("data") or {}).get("run_id")
    if run_id:
        ui.navigate.to(f"/runs/{run_id}")


def _totals(counts: dict[str, int]) -> str:
    named = [f"{counts[str(one)]} {str(one).replace('_', ' ')}" for one in Status if counts.get(str(one))]
    return " · ".join([*named, f"{datetime.now(UTC):%H:%M:%S} UTC"])
