"""Figures and moments in the words of the dashboard. Pure."""

from datetime import datetime

from runplane.contract.run import KillReceipt, Progress, Run, Status

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
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


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
        parts.append(f"{figures} {progress.unit}" if progress.unit else figures)
    if progress.message:
        parts.append(progress.message)
    return " · ".join(parts)


def outcome(run: Run) -> str:
    """How the run ended, in a few words; empty while it is open."""
    if run.override is not None:
        return f"declared {run.override.outcome} by {run.override.by}"
    if run.failure is not None:
        return run.failure.message
    if run.exit is not None and run.status.ended:
        return f"exit code {run.exit.code}" if run.exit.signal is None else f"ended by {run.exit.signal}"
    return ""


def took(run: Run, now: datetime) -> float | None:
    """Seconds from start to end, or to now; None before it started."""
    if run.started_at is None:
        return None
    return ((run.ended_at or now) - run.started_at).total_seconds()


def receipt_lines(receipt: KillReceipt) -> list[str]:
    """The receipt as a person reads it: who asked, what was sent, how each process ended, what proves it."""
    asked = f"asked by {receipt.requested_by} (through {receipt.via})"
    lines = [asked + (f": {receipt.reason}" if receipt.reason else "")]
    lines.append(f"{receipt.method}, {span(receipt.duration_ms / 1000)}, from {clock(receipt.started_at)}")
    lines += [f"sent {one.signal} to pid {one.pid}" for one in receipt.signals[:12]]
    lines += [f"pid {one.pid}  {one.exit}  {one.cmdline[:100]}" for one in receipt.processes[:40]]
    if len(receipt.processes) > 40:  # noqa: PLR2004 — the rest is in the API
        lines.append(f"and {len(receipt.processes) - 40} more")
    lines += [f"NOT GONE: pid {one.pid}  {one.why}" for one in receipt.survivors]
    freed = receipt.freed
    ports = f", ports {', '.join(map(str, freed.listening_ports))}" if freed.listening_ports else ""
    lines.append(f"freed {size(freed.rss_bytes)} of memory, {freed.open_files} open files{ports}")
    if receipt.verified:
        lines.append(f"every process verified gone, by {' and '.join(receipt.verified_by)}")
    else:
        lines.append("not verified: something of it is still there")
    return lines
