"""Figures, moments and sentences of the dashboard. Pure."""

import json
from datetime import datetime
from typing import Any

from runplane.contract.envelope import Envelope
from runplane.contract.run import KillReceipt, NextAttempt, Progress, Run, SignalSent, Status
from runplane.contract.text import without_control_sequences

STATUS_HUE = {
    Status.PENDING: "grey",
    Status.STARTING: "blue",
    Status.RUNNING: "blue",
    Status.PAUSED: "amber",
    Status.TERMINATING: "amber",
    Status.UNREACHABLE: "amber",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.KILLED: "violet",
    Status.CANCELED: "grey",
    Status.TIMED_OUT: "red",
    Status.LOST: "red",
}
NOTHING = "—"
MOST_PROCESSES = 40
MOST_SIGNALS = 12
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LONGEST = 200


def size(count: int | None) -> str:
    """Bytes: ``38.4 MiB``."""
    if count is None:
        return NOTHING
    amount = float(count)
    for unit in _UNITS:
        if amount < _KIBI or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIBI
    return NOTHING


def span(seconds: float | None) -> str:
    """A span of time: ``840 ms``, ``12 s``, ``4 min 3 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def clock(moment: datetime | None) -> str:
    """A moment: ``2026-03-01 14:02:11 UTC``."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment is not None else NOTHING


def status(status: Status) -> str:
    """A status as it is shown: ``timed out``."""
    return str(status).replace("_", " ")


def one_line(text: str, longest: int = _LONGEST) -> str:
    """A line of what a run or an operator wrote, without control sequences; what is too long ends in an ellipsis."""
    if len(text) <= longest and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # as most are: looking closer costs more than all the rest of a row
    line = " ".join(without_control_sequences(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def value(value: Any) -> str:
    """A parameter's value, as JSON writes it; a string stands for itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def share(progress: Progress | None) -> float | None:
    """How much is done, from 0 to 1; None where that is not known."""
    if progress is None or progress.done is None or not progress.total:
        return None
    return min(1.0, max(0.0, progress.done / progress.total))


def progress_text(progress: Progress | None) -> str:
    """``12 / 40 issues · analysing NMSTX-187``."""
    if progress is None:
        return ""
    parts = []
    if progress.done is not None:
        figures = f"{progress.done:g}" + (f" / {progress.total:g}" if progress.total is not None else "")
        parts.append(f"{figures} {one_line(progress.unit, 40)}" if progress.unit else figures)
    if progress.message:
        parts.append(one_line(progress.message))
    return " · ".join(parts)


def outcome(run: Run) -> str:
    """How the run ended, in a few words; empty while it is open."""
    if run.override is not None:
        return _because(f"declared {run.override.outcome} by {run.override.by}", run.override.reason)
    if not run.status.ended:
        return ""
    if run.status is Status.KILLED and run.kill_receipt is not None:
        return _because(f"killed by {run.kill_receipt.requested_by}", run.kill_receipt.reason)
    if run.failure is not None:
        return one_line(run.failure.message)
    if run.status is Status.CANCELED:
        return "canceled before any process of it existed"
    if run.exit is not None:
        return f"exit code {run.exit.code}" if run.exit.signal is None else f"ended by {run.exit.signal}"
    return ""


def saying(run: Run) -> str:
    """The one line about a run: what is wrong, or how it ended, or what it waits for; then how far it came."""
    conditions = " · ".join(
        one_line(one.detail or (one.verdict or one.type).replace("_", " ")) for one in run.conditions
    )
    parts = (conditions or outcome(run) or _under_way(run), progress_text(run.progress))
    return " · ".join(filter(None, parts))


def _under_way(run: Run) -> str:
    match run.status:
        case Status.PENDING if run.restarted_from is not None and run.host is None and run.attempt == 0:
            return f"starts when {run.restarted_from} has ended and a host is free"
        case Status.PENDING if run.awaits_decision:
            return "an operator has to decide what becomes of it"
        case Status.PENDING if run.queued:
            return "waits for its turn: as many as its workflow allows are open"
        case Status.PENDING if run.attempts and run.next_attempt is not None:
            return _next_attempt(run.next_attempt)
        case Status.PENDING:
            where = f"{run.host}" if run.host else f"a host of pool {run.pool}"
            return f"waiting for {where} with a free slot"
        case Status.TERMINATING:
            return "its processes are being ended"
        case Status.UNREACHABLE:
            return f"{run.host} is not heard from"
        case _:
            return ""


def _next_attempt(following: NextAttempt) -> str:
    when = f" at {following.at:%H:%M:%S} UTC" if following.at is not None else " soon"
    where = ", from where it was" if following.resume else ""
    return f"attempt {following.attempt} begins{when}{where}: {one_line(following.why)}"


def _because(what: str, reason: str | None) -> str:
    return f"{what}: {one_line(reason)}" if reason else what


def receipt_headline(receipt: KillReceipt) -> str:
    """What the receipt proves, or that it does not."""
    if receipt.verified and not receipt.survivors:
        return "Every process is verified gone"
    return "Not proven: something of it may still be there"


def receipt_lines(receipt: KillReceipt) -> list[tuple[str, str]]:
    """The receipt as a person reads it, labelled: who asked, what was sent, how each process ended, what proves it."""
    asked = f"{receipt.requested_by} (through {receipt.via})"
    lines = [("asked by", _because(asked, receipt.reason))]
    lines.append(
        ("took", f"{span(receipt.duration_ms / 1000)}, {receipt.method}, from {clock(receipt.started_at)}")
    )
    lines += _labelled("signals", _signals(receipt) or ["none was needed"])
    gone = [f"{one.pid}  {one.exit}  {one_line(one.cmdline, 100)}" for one in receipt.processes]
    lines += _labelled("processes", _cut(gone, MOST_PROCESSES))
    alive = [f"{one.pid}  {one_line(one.cmdline, 60)}: {one_line(one.why)}" for one in receipt.survivors]
    lines += _labelled("STILL ALIVE", _cut(alive, MOST_PROCESSES))
    freed = receipt.freed
    ports = f", ports {', '.join(map(str, freed.listening_ports))}" if freed.listening_ports else ""
    lines.append(("freed", f"{size(freed.rss_bytes)} of memory, {freed.open_files} open files{ports}"))
    if cleaned_up := str(receipt.cleanup):
        lines.append(("cleaned up", one_line(cleaned_up)))
    lines.append(("proof", ", ".join(receipt.verified_by) or "none"))
    lines.append(("command", receipt.command_id))
    return lines


def _signals(receipt: KillReceipt) -> list[str]:
    """One line for each signal, with all it was sent to at that point."""
    groups: list[list[SignalSent]] = []
    for sent in receipt.signals:
        if groups and groups[-1][0].signal == sent.signal:
            groups[-1].append(sent)
        else:
            groups.append([sent])
    return _cut(
        [
            f"{group[0].at:%H:%M:%S.%f}"[:12]
            + f"  {group[0].signal} to {', '.join(_cut([str(sent.pid) for sent in group], MOST_SIGNALS))}"
            for group in groups
        ],
        MOST_SIGNALS,
    )


def _cut(lines: list[str], most: int) -> list[str]:
    return (
        lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more, which the API tells"]
    )


def _labelled(label: str, lines: list[str]) -> list[tuple[str, str]]:
    return [(label if number == 0 else "", line) for number, line in enumerate(lines)]


def who(envelope: Envelope) -> str:
    """``operator (mcp)``; what a host itself saw is said by its name alone."""
    name, surface = envelope.actor.principal, envelope.actor.surface
    return name.removeprefix("host:") if surface == "policy" else f"{name} ({surface})"


def gist(envelope: Envelope) -> str:
    """The one thing that a reader looks for in a record."""
    data = envelope.data
    if envelope.type == "ProgressReported":
        return progress_text(Progress.model_construct(**data.model_dump(), updated_at=envelope.time))
    ended = getattr(data, "exit", None)
    if ended is not None:
        return str(ended.signal) if ended.signal else f"exit code {ended.code}"
    for inner, name in (
        ("failure", "message"),
        ("condition", "detail"),
        ("diagnosis", "sentence"),
        ("receipt", "duration_ms"),
        ("main", "pid"),
    ):
        part = getattr(data, inner, None)
        if part is not None:
            said = getattr(part, name)
            if name == "duration_ms":
                return f"after {span(said / 1000)}, shown by {', '.join(part.verified_by)}"
            return f"pid {said}" if name == "pid" else one_line(str(said))
    for name in ("reason", "message", "error", "observed", "name", "new_run_id", "host", "verified_by"):
        said = getattr(data, name, None)
        if said:
            return one_line(", ".join(said) if isinstance(said, tuple) else str(said))
    return ""
