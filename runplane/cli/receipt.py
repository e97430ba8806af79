"""A kill receipt for people: who asked, by what way, who got which signal, how each process ended, what was freed, and
what showed that nothing is left. About a dozen lines, however large the tree was; ``--json`` has all of it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runplane.cli.duration import show_clock, show_duration
from runplane.cli.labelled import labelled
from runplane.cli.size import count
from runplane.cli.terminal import one_line
from runplane.contract.run import KillReceipt, Run, SignalSent
from runplane.contract.units import show_size

if TYPE_CHECKING:
    from rich.console import Group

MAX_PROCESSES = 6
MAX_SIGNALS = 4
MAX_PIDS = 6
LABEL_WIDTH = 11


def receipt_page(run: Run) -> "Group":
    """The receipt of a run with its headline; without a receipt, the headline alone."""
    from rich.text import Text

    headline, style = _headline(run)
    lines = receipt_lines(run.kill_receipt) if run.kill_receipt is not None else ()
    return labelled(Text(headline, style=style), lines, label_width=LABEL_WIDTH)


def _headline(run: Run) -> tuple[str, str]:
    receipt = run.kill_receipt
    if receipt is None:
        what = "canceled before any process of it existed" if run.status == "canceled" else str(run.status)
        return f"{run.run_id} is {what}", "bold"
    if not receipt.verified or receipt.survivors:
        return f"{run.run_id} is {run.status}, and not all of its processes are gone", "bold red"
    return f"{run.run_id} is {run.status}: every process of it is gone", "bold green"


def receipt_lines(receipt: KillReceipt) -> Iterator[tuple[str, str]]:
    """Label and text of each line; lines of the same kind have the same label."""
    reason = f', "{one_line(receipt.reason, 100)}"' if receipt.reason else ""
    yield "asked by", f"{one_line(receipt.requested_by)} ({receipt.via}){reason}"
    took = show_duration(receipt.duration_ms / 1000)
    yield (
        "took",
        f"{took}, {receipt.method}, {show_clock(receipt.started_at)} to {show_clock(receipt.ended_at)}",
    )
    yield from (("signals", line) for line in _signals(receipt))
    yield from (("processes", line) for line in _processes(receipt))
    yield from (("still alive", line) for line in _survivors(receipt))
    yield "freed", _freed(receipt)
    if cleaned_up := str(receipt.cleanup):
        yield "cleaned up", one_line(cleaned_up, 200)
    ways = ", ".join(receipt.verified_by) or "nothing"
    yield "proof", f"{ways}: " + ("no process is left" if receipt.verified else "processes are left")
    yield "command", receipt.command_id


def _signals(receipt: KillReceipt) -> Iterator[str]:
    """Signals in the order in which they were sent; one line for the same signal sent to several at once."""
    groups: list[list[SignalSent]] = []
    for sent in receipt.signals:
        if groups and groups[-1][0].signal == sent.signal:
            groups[-1].append(sent)
        else:
            groups.append([sent])
    if not groups:
        yield "none was needed"
    for group in groups[:MAX_SIGNALS]:
        pids = list(dict.fromkeys(sent.pid for sent in group))
        shown = ", ".join(str(pid) for pid in pids[:MAX_PIDS])
        more = f" and {len(pids) - MAX_PIDS} more" if len(pids) > MAX_PIDS else ""
        yield f"{group[0].at.astimezone():%H:%M:%S.%f}"[:12] + f"  {group[0].signal} to {shown}{more}"
    if len(groups) > MAX_SIGNALS:
        yield f"and {len(groups) - MAX_SIGNALS} more (--json shows all)"


def _processes(receipt: KillReceipt) -> Iterator[str]:
    for process in receipt.processes[:MAX_PROCESSES]:
        size = f", {show_size(process.rss_bytes)}" if process.rss_bytes else ""
        yield f"{process.pid}  {one_line(process.exit, 30)}{size}  {one_line(process.cmdline, 60)}"
    if len(receipt.processes) > MAX_PROCESSES:
        yield f"and {len(receipt.processes) - MAX_PROCESSES} more (--json shows all)"


def _survivors(receipt: KillReceipt) -> Iterator[str]:
    for survivor in receipt.survivors[:MAX_PROCESSES]:
        yield f"{survivor.pid}  {one_line(survivor.cmdline, 50)}: {one_line(survivor.why, 100)}"
    if len(receipt.survivors) > MAX_PROCESSES:
        yield f"and {len(receipt.survivors) - MAX_PROCESSES} more (--json shows all)"


def _freed(receipt: KillReceipt) -> str:
    freed = receipt.freed
    parts = [f"{show_size(freed.rss_bytes)} of memory", count(freed.open_files, "open file")]
    if freed.listening_ports:
        ports = ", ".join(str(port) for port in freed.listening_ports)
        parts.append(f"{'port' if len(freed.listening_ports) == 1 else 'ports'} {ports}")
    return ", ".join(parts)
