"""What all pages share: the head with its links, the colours, the status pill."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from control_plane.dashboard import words
from runplane.contract.run import Status

_PAGES = {
    "Overview": "/",
    "Runs": "/runs",
    "Hosts": "/hosts",
    "Workflows": "/workflows",
    "Audit": "/audit",
}
_FILES = Path(__file__).parent
_SCRIPTS = "\n".join(
    (_FILES / name).read_text(encoding="utf-8") for name in ("page.js", "charts.js", "table.js", "run.js")
)
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)
"""Nothing leaves the origin, whatever a page is made to show. The framework compiles its templates in the browser."""


@contextmanager
def page(title: str, *, section: str = "", fills: bool = False) -> Iterator[None]:
    """A page: head and body. ``section``: which of the main pages it belongs to, where it is none of them.

    One that ``fills`` the window does not scroll; its content does.
    """
    ui.page_title(f"{title} · Runplane")
    ui.add_head_html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">')
    ui.add_css(_FILES / "style.css")
    ui.add_head_html(f"<script>{_SCRIPTS}</script>")
    ui.colors(primary="#2563eb", negative="#c2282d", positive="#15803d", warning="#b45309", dark="#171b23")
    with ui.header(elevated=False).classes("rp-head items-center no-wrap"):
        ui.link("Runplane", "/").classes("rp-brand")
        with ui.element("nav").classes("rp-nav").props('aria-label="Pages"'):
            for name, address in _PAGES.items():
                ui.link(name, address).props('aria-current="page"' if name == (section or title) else "")
            ui.link("API", "/docs").classes("rp-wide-only")
        ui.space()
        toggle = ui.button(icon="contrast").props('flat round dense color=inherit aria-label="Dark or light"')
        toggle.on("click", js_handler="() => rp.otherTheme()").tooltip("Dark or light")
    with ui.element("main").classes("rp-main" + (" rp-fills" if fills else "")):
        yield


def pill(status: Status) -> ui.label:
    """The status, coloured."""
    live = " rp-live" if not status.ended and status is not Status.PENDING else ""
    return ui.label(words.status(status)).classes(f"rp-pill rp-{words.STATUS_HUE[status]}{live}")


def empty(what: str, then: str) -> None:
    """What stands where there is nothing yet, and what to type."""
    with ui.element("div").classes("rp-empty"):
        ui.label(what)
        ui.label(then).classes("rp-soft")


def figure(label: str, value: str = words.NOTHING) -> ui.label:
    """A labelled figure; the label of the value is returned."""
    with ui.column().classes("gap-0"):
        ui.label(label).classes("rp-label")
        return ui.label(value).classes("rp-figure")


def pairs(lines: list[tuple[str, str]]) -> None:
    """Labels and texts in two columns."""
    with ui.element("dl").classes("rp-pairs"):
        for label, text in lines:
            with ui.element("dt"):
                ui.label(label)
            with ui.element("dd"):
                ui.label(text)
