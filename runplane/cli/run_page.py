"""One run in full, for people: what it is, how it stands, why, and what to type next."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runplane.cli.duration import age_of, show_ago, show_clock, show_duration
from runplane.cli.labelled import labelled
from runplane.cli.receipt import receipt_lines
from runplane.cli.run_words import exit_text, figure_of, runtime_of, status_text, stuck_of
from runplane.cli.size import count
from runplane.cli.terminal import one_line
from runplane.contract.run import HOST_UNREACHABLE, Attempt, Run
from runplane.contract.units import show_size

if TYPE_CHECKING:
    from rich.console import Group

LABEL_WIDTH = 14
MAX_ATTEMPTS = 5
BAR_CELLS = 20


def run_page(run: Run, now: datetime | None = None) -> "Group":
    """The page; ``now`` is the moment from which ages are seen, for a run as it was."""
    from rich.text import Text

    headline = Text(run.run_id, style="bold")
    headline.append(f"  {one_line(run.workflow)}")
    headline.append(f" (version {run.workflow_version})  ", style="dim")
    headline.append_text(status_text(run))
    return labelled(headline, _lines(run, run.ended_at or now), label_width=LABEL_WIDTH)


def _lines(run: Run, now: datetime | None) -> Iterator[tuple[str, str]]:
    yield from _when(run, now)
    yield from _how(run, now)
    for name, value in run.params.items():
        yield "params", f"{one_line(name, 40)} = {_value(value)}"
    for condition in run.conditions:
        what = f"{condition.type} ({condition.verdict})" if condition.verdict else condition.type
        since = f"for {show_duration(age_of(condition.since, now))}"
        yield "condition", f"{one_line(what)} {since}: {one_line(condition.detail)}"
    following = next_attempt_line(run, now)
    if following is not None:
        yield "next attempt", following
    yield from _ending(run)
    yield from _relations(run)
    yield (
        "log position",
        str(run.seq) + (f", {count(run.anomalies, 'anomaly', 'anomalies')}" if run.anomalies else ""),
    )
    if run.kill_receipt is not None:
        before = ""
        for label, line in receipt_lines(run.kill_receipt):
            yield "kill receipt", f"{label if label != before else '':<12}{line}"
            before = label
    for line in _next(run):
        yield "next", line


def _when(run: Run, now: datetime | None) -> Iterator[tuple[str, str]]:
    yield (
        "requested",
        f"{_ago(run, run.created_at, now)} by {one_line(run.requested_by)} ({run.requested_via})",
    )
    where = one_line(run.host) if run.host else "none now" if run.attempts else "no host yet"
    yield "host", f"{where}, pool {run.pool or 'default'}, attempt {run.attempt}"
    if run.started_at is not None:
        yield "started", _ago(run, run.started_at, now)
    if run.ended_at is not None:
        yield "ended", f"{show_clock(run.ended_at)}, after {show_duration(runtime_of(run, now))}"


def _how(run: Run, now: datetime | None) -> Iterator[tuple[str, str]]:
    if run.held is not None:
        reason = f', "{one_line(run.held.reason)}"' if run.held.reason else ""
        where = f"at {one_line(run.held.at)}, " if run.held.at else ""
        yield (
            "held",
            f"{where}{_ago(run, run.held.since, now)} by {one_line(run.held.by)} ({run.held.via}){reason}",
        )
    if run.progress is not None:
        message = f'  "{one_line(run.progress.message)}"' if run.progress.message else ""
        said = f", {show_duration(age_of(run.progress.updated_at, now))} ago" if run.ended_at is None else ""
        yield "progress", f"{_bar(run)}{figure_of(run.progress)}{message}{said}"
    if run.expected_end is not None:
        left = -age_of(run.expected_end, now)
        yield (
            "expected end",
            f"{show_clock(run.expected_end)}" + (f", in {show_duration(left)}" if left > 0 else ", overdue"),
        )
    if run.step is not None:
        yield (
            "step",
            f"{one_line(run.step.name)}, for {show_duration(age_of(run.step.started_at, now))}",
        )
    sample = run.resources
    if sample is not None:
        threads, files = count(sample.threads, "thread"), count(sample.open_files, "open file")
        processes = count(sample.processes, "process", "processes")
        size = show_size(sample.rss_bytes)
        yield "resources", f"{sample.cpu_percent:.1f} % of a core, {size}, {processes}, {threads}, {files}"
    if run.usage is not None:
        usage = run.usage
        yield (
            "usage",
            (
                f"{count(usage.turns, 'turn')}, {count(usage.tools, 'tool call')}, "
                f"{count(usage.tokens, 'token')}, {usage.cost_usd:.2f} USD"
            ),
        )
    if run.checkpoint is not None:
        yield "checkpoint", f"{one_line(run.checkpoint.id, 16)}, {_ago(run, run.checkpoint.at, now)}"
    if len(run.attempts) > 1:
        for attempt in run.attempts[-MAX_ATTEMPTS:]:
            yield "attempts", _attempt(attempt)


def _ending(run: Run) -> Iterator[tuple[str, str]]:
    if run.exit is not None:
        yield "exit", exit_text(run.exit)
    if run.failure is not None:
        yield "failure", f"{one_line(run.failure.kind)}: {one_line(run.failure.message, 400)}"
    if run.override is not None:
        override = run.override
        reason = f', "{one_line(override.reason)}"' if override.reason else ""
        yield (
            "declared",
            (
                f"{override.outcome} by {one_line(override.by)} ({override.via}) at {show_clock(override.at)}{reason}"
            ),
        )
        yield "observed", one_line(override.observed, 400)


def next_attempt_line(run: Run, now: datetime | None = None) -> str | None:
    """When the next attempt comes, and from where it goes on; None where none does."""
    following = run.next_attempt
    if following is None or not run.attempts:
        return None
    when = "as soon as the control plane has said when"
    if following.at is not None:
        left = -age_of(following.at, now)
        when = (
            f"in {show_duration(left)}, at {show_clock(following.at)}"
            if left > 0
            else "due: it waits for a host"
        )
    where = "from the last checkpoint" if following.resume else "from the beginning"
    return f"attempt {following.attempt} {when}, {where}" + (
        " (slowed: a crash loop)" if following.slowed else ""
    )


def _relations(run: Run) -> Iterator[tuple[str, str]]:
    if run.recovers is not None:
        yield "recovers", run.recovers
    if run.recovered_by is not None:
        yield "recovered by", run.recovered_by
    if run.restarted_from is not None:
        yield "restarted from", run.restarted_from
    if run.restarted_as is not None:
        yield "restarted as", run.restarted_as
    for breakpoint_ in run.breakpoints:
        yield "breakpoints", one_line(breakpoint_.location)


def _next(run: Run) -> Iterator[str]:
    if run.status.ended:
        if run.restarted_as is not None:
            yield f"runplane status {run.restarted_as}"
        elif run.status != "completed":
            yield f"runplane logs {run.run_id} --tail 20"
            yield f"runplane restart {run.run_id}"
        return
    if run.awaits_decision:
        for decision in ("retry", "resume", "give-up"):
            yield f"runplane decide {run.run_id} {decision}"
        return
    if run.attempt_over:
        yield f"runplane decide {run.run_id} retry"
        yield f"runplane kill {run.run_id}"
        return
    stuck = stuck_of(run)
    if stuck is not None and stuck.verdict == HOST_UNREACHABLE:
        yield "runplane hosts"
        return
    if stuck is not None or run.status == "terminating":
        yield f"runplane diagnose {run.run_id}"
        yield f"runplane kill {run.run_id}" + (" --force" if run.status == "terminating" else "")
        return
    yield f"runplane logs {run.run_id} --follow"


def _ago(run: Run, moment: datetime, now: datetime | None) -> str:
    """How long ago matters while the run is open; afterwards the time of day does."""
    return show_clock(moment) if run.status.ended else show_ago(moment, now)


def _bar(run: Run) -> str:
    progress = run.progress
    if progress is None or progress.done is None or not progress.total:
        return ""
    filled = round(max(0.0, min(1.0, progress.done / progress.total)) * BAR_CELLS)
    return f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] "


def _attempt(attempt: Attempt) -> str:
    ended = f"ended {show_clock(attempt.ended_at)} {exit_text(attempt.exit)}" if attempt.ended_at else "open"
    why = (
        f", {attempt.ending}: {one_line(attempt.failure.message, 80)}" if attempt.failure is not None else ""
    )
    began = ", resumed" if attempt.resumed else ""
    claimed = f"claimed {show_clock(attempt.claimed_at)}"
    return f"{attempt.attempt} on {one_line(attempt.host)}, {claimed}{began}, {ended}{why}"


def _value(value: Any) -> str:
    import json

    return one_line(value if isinstance(value, str) else json.dumps(value))
