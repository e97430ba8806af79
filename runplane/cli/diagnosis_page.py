"""A diagnosis for people: the sentence, the processes with what each thread waits for, the rest of the evidence."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from runplane.cli.duration import show_clock, show_duration
from runplane.cli.size import count
from runplane.cli.terminal import clean, one_line
from runplane.contract.diagnosis import Diagnosis, Frame, SeenProcess, SeenSocket, SeenThread
from runplane.contract.units import show_size

if TYPE_CHECKING:
    from rich.text import Text

_LINES = 10
_WIDEST = 400
_OWN_FRAMES = 12
_LIBRARY_FRAMES = 2
_MORE = {True: "more calls", False: "calls in libraries"}
_FILES = 8
_STANDARD = 2
_USUAL_FILES = ("/dev/null", "anon_inode:", "pipe:")


def diagnosis_page(diagnosis: Diagnosis) -> "Text":
    """The page."""
    from rich.text import Text

    page = Text()
    page.append(f"{one_line(diagnosis.sentence, 1000)}\n", style="bold")
    page.append(f"{_when(diagnosis)}\n", style="dim")
    if diagnosis.condition is not None:
        page.append(f"\nstuck ({diagnosis.condition.verdict})", style="yellow")
        page.append(
            f" since {show_clock(diagnosis.condition.since)}: {one_line(diagnosis.condition.detail, 1000)}\n"
        )
    for title, lines in (
        ("Processes", _processes(diagnosis.processes)),
        ("Steps", _steps(diagnosis)),
        ("Last samples", _samples(diagnosis)),
        ("Standard output, last lines", iter(diagnosis.stdout[-_LINES:])),
        ("Standard error, last lines", iter(diagnosis.stderr[-_LINES:])),
        ("Not seen", iter(diagnosis.unseen)),
    ):
        _section(page, title, lines)
    page.append("\nnext  ", style="dim")
    page.append(_next(diagnosis))
    return page


def _section(page: "Text", title: str, lines: Iterator[str]) -> None:
    shown = [f"  {_clean(line)}\n" for line in lines]
    if shown:
        page.append(f"\n{title}\n", style="bold")
        page.append("".join(shown))


def _clean(line: str) -> str:
    """On one line, columns and indentation as they are."""
    return " ".join(clean(line).splitlines())[:_WIDEST]


def _when(diagnosis: Diagnosis) -> str:
    where = f" on {diagnosis.host}" if diagnosis.host else ""
    took = f", in {diagnosis.duration_ms:.0f} ms" if diagnosis.duration_ms else ""
    return f"{diagnosis.run_id}, {diagnosis.status}{where}; seen at {show_clock(diagnosis.taken_at)}{took}"


def _processes(processes: Sequence[SeenProcess]) -> Iterator[str]:
    by_pid = {process.pid: process for process in processes}
    for process in processes:
        indent = "  " * _depth(process, by_pid)
        name = one_line(process.cmdline, 90) or process.name
        used = f"{show_size(process.rss_bytes)}, {show_duration(process.cpu_seconds)} CPU"
        yield f"{indent}{process.pid}  {name}  [{process.state_name}, {used}]"
        for thread in process.threads:
            yield from (f"{indent}    {line}" for line in _thread(thread, process))
        for socket in process.sockets:
            if line := _socket(socket):
                yield f"{indent}    {line}"
        files = [f"{file.fd} {file.target}" for file in process.files if _is_telling(file.fd, file.target)]
        if files:
            more = f", and {len(files) - _FILES} more" if len(files) > _FILES else ""
            yield f"{indent}    files: {', '.join(files[:_FILES])}{more}"


def _depth(process: SeenProcess, by_pid: Mapping[int, SeenProcess]) -> int:
    depth = 0
    seen = {process.pid}
    while (parent := by_pid.get(process.parent_pid)) is not None and parent.pid not in seen:
        seen.add(parent.pid)
        process = parent
        depth += 1
    return depth


def _thread(thread: SeenThread, process: SeenProcess) -> Iterator[str]:
    name = "" if thread.tid == process.pid and len(process.threads) == 1 else f"thread {thread.name}: "
    on = thread.peer or thread.on
    place = ", ".join(part for part in (thread.call, thread.place) if part and part != "0")
    yield f"{name}{thread.waits_for.replace('_', ' ')}{f' on {on}' if on else ''}{f' ({place})' if place else ''}"
    shown = 0
    for own, frames in groupby(thread.stack, key=lambda frame: frame.own):
        calls = list(frames)
        most = _OWN_FRAMES if own else _LIBRARY_FRAMES if not shown else 0
        for frame in calls[:most]:
            yield f"  {'>' if own else ' '} {_frame(frame)}"
        if len(calls) > most:
            yield f"    … {count(len(calls) - most, 'more call' if own else 'call in libraries', _MORE[own])}"
        shown += len(calls)


def _frame(frame: Frame) -> str:
    """Of the workflow's own code with the whole path, which an editor opens."""
    file = frame.file if frame.own else frame.file.rpartition("/")[2]
    return f"{frame.function}  {file}:{frame.line}"


def _socket(socket: SeenSocket) -> str:
    if socket.protocol == "other":
        return ""
    ends = f"{socket.local} -> {socket.peer}" if socket.peer and socket.local else socket.peer or socket.local
    if not ends:
        return ""
    heard = (
        f", last received {show_clock(socket.received_at)}"
        if isinstance(socket.received_at, datetime)
        else ""
    )
    queues = [
        f"{size} B {what}"
        for size, what in ((socket.receive_queue_bytes, "not read"), (socket.send_queue_bytes, "not taken"))
        if size and socket.state != "LISTEN"
    ]
    waiting = f", {', '.join(queues)}" if queues else ""
    return f"socket {socket.fd}: {socket.protocol} {ends} {socket.state}".rstrip() + heard + waiting


def _is_telling(fd: int, target: str) -> bool:
    return fd > _STANDARD and not target.startswith(_USUAL_FILES)


def _steps(diagnosis: Diagnosis) -> Iterator[str]:
    for step in diagnosis.steps[-_LINES:]:
        took = f" after {show_duration(step.duration_seconds)}" if step.duration_seconds is not None else ""
        yield f"{show_clock(step.at)}  {one_line(step.name, 60)}  {step.state}{took}"


def _samples(diagnosis: Diagnosis) -> Iterator[str]:
    for sample in diagnosis.samples[-3:]:
        yield (
            f"{show_clock(sample.sampled_at)}  {sample.cpu_percent:.1f} % CPU, {show_size(sample.rss_bytes)}, "
            f"{count(sample.processes, 'process', 'processes')}, {count(sample.threads, 'thread')}"
        )


def _next(diagnosis: Diagnosis) -> str:
    run_id = diagnosis.run_id
    if diagnosis.status.ended:
        return f"runplane logs {run_id} --tail 20, or runplane restart {run_id}"
    if diagnosis.condition is not None:
        return f"runplane kill {run_id}, or runplane restart {run_id}"
    return f"runplane logs {run_id} --follow"
