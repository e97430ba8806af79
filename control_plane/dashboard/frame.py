"""What all pages share: the head with its links, the colours, the status pill."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from control_plane.dashboard import words
from runplane.contract.run import Status

_FILES = Path(__file__).parent
_SCRIPT = (_FILES / "table.js").read_text(encoding="utf-8")


@contextmanager
def page(title: str, here: str) -> Iterator[None]:
    """A page: head and body. ``here`` names the link that is the page itself."""
    ui.page_title(f"{title} · Runplane")
    ui.add_css(_FILES / "style.css")
    ui.add_head_html(f"<script>{_SCRIPT}</script>")
    dark = ui.dark_mode(None)
    with ui.header(elevated=False).classes("rp-head items-center no-wrap q-px-md q-py-sm"):
        ui.link("Runplane", "/").classes("rp-brand")
        ui.link("Runs", "/").classes("q-ml-md rp-soft").style(_weight(here == "runs"))
        ui.link("API", "/docs").classes("q-ml-sm rp-soft")
        ui.space()
        toggle = ui.button(icon="contrast", on_click=lambda: dark.set_value(not dark.value))
        toggle.props("flat round dense").tooltip("Dark or light").props('aria-label="Dark or light"')
    with ui.column().classes("rp-main"):
        yield


def _weight(here: bool) -> str:  # noqa: FBT001 — one flag, read at the call
    return (
        "color: var(--rp-text); font-weight: 600; text-decoration: none" if here else "text-decoration: none"
    )


def pill(status: Status) -> ui.label:
    """The status, coloured."""
    live = " rp-live" if not status.ended and status is not Status.PENDING else ""
    return ui.label(str(status).replace("_", " ")).classes(f"rp-pill rp-{words.STATUS_HUE[status]}{live}")


def figure(label: str, value: str) -> ui.label:
    """A labelled figure; the label of the value is returned."""
    with ui.column().classes("gap-0"):
        ui.label(label).classes("rp-label")
        return ui.label(value).classes("rp-figure")
