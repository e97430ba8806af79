"""The diagnosis on a run's page: the sentence, then what it rests on.

A new one is asked for by a button; those that were taken before, by request or by itself, can be looked at again.
"""

from collections.abc import Callable, Mapping

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.frame import empty
from control_plane.read_model import EventFilter
from runplane.contract.diagnosis import Diagnosis, SeenProcess, SeenSocket, SeenThread
from runplane.contract.errors import RunplaneError
from runplane.contract.events import DiagnosisTaken
from runplane.contract.run import Actor

MOST_EARLIER = 20
_FRAMES_OF_LIBRARIES = 3
_STANDARD = 2
_TELLS_NOTHING = ("/dev/null", "anon_inode:", "pipe:")


class DiagnosisView:
    """Of one viewer. ``open`` brings it before the viewer."""

    def __init__(self, context: Context, run_id: str, actor: Actor, open: Callable[[], object]) -> None:
        """Build it where the caller stands, with the last one that was taken."""
        self._context = context
        self._run_id = run_id
        self._actor = actor
        self._open = open
        self._client = ui.context.client
        self._taken: dict[str, Diagnosis] = {}
        with ui.row().classes("rp-headline"):
            self._button = ui.button("Diagnose now", icon="troubleshoot", on_click=self.ask)
            self._button.props("unelevated no-caps dense").classes("rp-button")
            self._earlier = (
                ui.select({}, label="Taken at").props("outlined dense options-dense").classes("rp-filter")
            )
            self._earlier.on_value_change(lambda event: self._show(self._taken.get(str(event.value))))
        self._place = ui.element("div").classes("rp-diagnosis")
        records = context.read_model.events(
            EventFilter(run_id=run_id, type=DiagnosisTaken.__name__, newest=True, limit=MOST_EARLIER)
        )
        for _, record in records:
            if isinstance(record.data, DiagnosisTaken):
                self._keep(record.data.diagnosis)
        self._choose_last()

    def add(self, diagnosis: Diagnosis) -> None:
        """One was taken just now, whoever asked."""
        self._keep(diagnosis)
        self._choose_last()

    async def ask(self) -> None:
        """Ask the host."""
        self._open()
        self._button.props("loading")
        try:
            found = await self._context.diagnoses.diagnose(self._run_id, self._actor)
        except RunplaneError as error:
            if not self._client.is_deleted:
                with self._place:
                    ui.notify(error.message, type="negative", multi_line=True, close_button="OK")
            return
        finally:
            if not self._client.is_deleted:
                self._button.props(remove="loading")
        if not self._client.is_deleted:
            self._show(found)

    def _keep(self, diagnosis: Diagnosis) -> None:
        self._taken[f"{diagnosis.taken_at:%H:%M:%S}"] = diagnosis
        while len(self._taken) > MOST_EARLIER:
            del self._taken[next(iter(self._taken))]

    def _choose_last(self) -> None:
        names = list(self._taken)[::-1]
        self._earlier.set_visibility(len(names) > 1)
        self._earlier.set_options(names, value=names[0] if names else None)
        self._show(self._taken[names[0]] if names else None)

    def _show(self, diagnosis: Diagnosis | None) -> None:
        self._place.clear()
        with self._place:
            if diagnosis is None:
                empty("Nobody has looked at this run yet.", "One is taken by itself when it gets stuck.")
            else:
                _diagnosis(diagnosis)


def _diagnosis(seen: Diagnosis) -> None:
    ui.label(words.one_line(seen.sentence, 1000)).classes("rp-sentence")
    took = f", in {seen.duration_ms:.0f} ms" if seen.duration_ms else ""
    ui.label(f"seen {words.clock(seen.taken_at)}{took}").classes("rp-soft")
    by_pid = {process.pid: process for process in seen.processes}
    for process in seen.processes:
        _process(process, _depth(process, by_pid))
    for title, lines in (("Standard output", seen.stdout), ("Standard error", seen.stderr)):
        if lines:
            _heading(f"{title}, last lines")
            with ui.element("pre").classes("rp-code").props("tabindex=0"):
                ui.label("\n".join(lines))
    if seen.unseen:
        _heading("Not seen")
        for line in seen.unseen:
            ui.label(words.one_line(line, 400)).classes("rp-soft")


def _heading(text: str) -> None:
    ui.label(text).classes("rp-heading").props("role=heading aria-level=3")


def _depth(process: SeenProcess, by_pid: Mapping[int, SeenProcess]) -> int:
    depth, seen = 0, {process.pid}
    while (parent := by_pid.get(process.parent_pid)) is not None and parent.pid not in seen:
        seen.add(parent.pid)
        process, depth = parent, depth + 1
    return depth


def _process(process: SeenProcess, depth: int) -> None:
    with ui.element("div").classes("rp-process").style(f"margin-left: {min(depth, 6) * 18}px"):
        with ui.element("div").classes("rp-item-head"):
            ui.label(str(process.pid)).classes("rp-mono rp-soft")
            ui.label(process.cmdline or process.name).classes("rp-mono rp-strong rp-breaks")
            used = f"{words.size(process.rss_bytes)} · {process.cpu_seconds:.1f} s CPU"
            ui.label(f"{process.state_name} · {used}").classes("rp-soft rp-since")
        for thread in process.threads:
            _thread(thread, alone=len(process.threads) == 1)
        for socket in process.sockets:
            if line := _socket(socket):
                ui.label(line).classes("rp-mono rp-soft rp-breaks")
        files = [
            f"{file.fd} {file.target}"
            for file in process.files
            if file.fd > _STANDARD and not file.target.startswith(_TELLS_NOTHING)
        ]
        if files:
            ui.label(f"files: {', '.join(files)}").classes("rp-mono rp-soft rp-breaks")


def _thread(thread: SeenThread, *, alone: bool) -> None:
    on = thread.peer or thread.on
    place = ", ".join(part for part in (thread.call, thread.place) if part)
    with ui.element("div").classes("rp-thread"):
        with ui.element("div").classes("rp-item-head"):
            if not alone:
                ui.label(thread.name).classes("rp-soft")
            waits = thread.waits_for.replace("_", " ")
            ui.label(waits).classes("rp-pill " + ("rp-blue" if waits == "running" else "rp-amber"))
            ui.label(
                " ".join(part for part in (f"on {on}" if on else "", f"({place})" if place else "") if part)
            ).classes("rp-mono rp-soft rp-breaks")
        if not thread.stack:
            return
        with ui.element("ol").classes("rp-stack"):
            hidden = 0
            shown = 0
            for frame in thread.stack:
                if not frame.own and (shown := shown + 1) > _FRAMES_OF_LIBRARIES:
                    hidden += 1
                    continue
                with ui.element("li").classes("rp-own" if frame.own else "rp-library"):
                    file = frame.file if frame.own else frame.file.rpartition("/")[2]
                    ui.label(f"{frame.function}  {file}:{frame.line}")
            if hidden:
                with ui.element("li").classes("rp-library"):
                    ui.label(f"and {hidden} calls in libraries")


def _socket(socket: SeenSocket) -> str:
    if socket.protocol == "other" or not (socket.peer or socket.local):
        return ""
    ends = f"{socket.local} → {socket.peer}" if socket.peer and socket.local else socket.peer or socket.local
    heard = f", last received {words.clock(socket.received_at)}" if socket.received_at else ""
    return f"socket {socket.fd}: {socket.protocol} {ends} {socket.state}{heard}"
