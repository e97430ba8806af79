"""How a run is put into words: its status with colour, its progress, its ending."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runplane.cli.duration import show_duration
from runplane.cli.terminal import one_line
from runplane.contract.run import Condition, Exit, Progress, Run, Status

if TYPE_CHECKING:
    from rich.text import Text

NOTHING = "-"
STYLES = {
    Status.PENDING: "cyan", Status.STARTING: "cyan", Status.RUNNING: "blue", Status.PAUSED: "magenta",
    Status.TERMINATING: "yellow", Status.UNREACHABLE: "yellow", Status.COMPLETED: "green", Status.FAILED: "red",
    Status.KILLED: "red", Status.CANCELED: "red", Status.TIMED_OUT: "red", Status.LOST: "red",
}  # fmt: skip


def stuck_of(run: Run) -> Condition | None:
    """The condition that says that the run is stuck."""
    return next((condition for condition in run.conditions if condition.type == "stuck"), None)


def status_text(run: Run) -> "Text":
    """``running``, ``running stuck``, ``pending #2 in 12s`` before another attempt, ``pending decide``."""
    from rich.text import Text

    text = Text(str(run.status), style=STYLES.get(run.status, ""))
    if stuck_of(run) is not None:
        text.append(" stuck", style="bold yellow")
    if run.awaits_decision:
        text.append(" decide", style="bold yellow")
    elif run.next_attempt is not None and run.next_attempt.at is not None:
        left = (run.next_attempt.at - datetime.now(UTC)).total_seconds()
        text.append(
            f" #{run.next_attempt.attempt}" + (f" in {show_duration(left)}" if left > 0 else ""),
            style="yellow",
        )
    return text


def figure_of(progress: Progress | None) -> str:
    """``30% 3/10``, ``3 issues``, or ``-``."""
    if progress is None or progress.done is None:
        return NOTHING
    if progress.total:
        share = max(0.0, min(1.0, progress.done / progress.total))
        return f"{share:.0%} {progress.done:g}/{progress.total:g}"
    return one_line(f"{progress.done:g} {progress.unit or ''}", 16)


def exit_text(exit: Exit | None) -> str:
    """``exit 0``, ``SIGKILL``, or nothing."""
    if exit is None:
        return ""
    return exit.signal or f"exit {exit.code}"


def runtime_of(run: Run, now: datetime | None = None) -> float:
    """Seconds from the start (or the order, where it never started) to the end or to now."""
    return ((run.ended_at or now or datetime.now(UTC)) - (run.started_at or run.created_at)).total_seconds()


def ending_line(run: Run) -> str:
    """One sentence about how a run stands or ended."""
    if not run.status.ended:
        return f"{run.run_id} is {run.status}"
    words = f"{run.run_id} {run.status.replace('_', ' ')} after {show_duration(runtime_of(run))}"
    ended = exit_text(run.exit)
    why = one_line(run.failure.message) if run.failure is not None else ""
    return words + (f" ({ended})" if ended else "") + (f": {why}" if why else "")
