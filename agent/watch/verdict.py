"""Whether a run is stuck, and how: a pure function from what was seen of it to a verdict with its reason.

Rules: a verdict needs something that was seen, and says it. A run that works (computes, prints, reports something new,
moves bytes through files or connections, or has declared that it waits) is left alone, whatever else is true of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from agent.watch.repetition import Repeat
from agent.watch.waits import Kind, ThreadWait
from runplane.contract.spec import Usual
from runplane.contract.text import without_control_sequences

Name = Literal[
    "silent", "idle", "spinning", "looping", "waiting_for_input", "waiting_on_io", "waiting_on_child", "awaiting_api",
    "step_overrun", "finished_but_alive", "stopped",
]  # fmt: skip

BUSY_PERCENT = 50.0
IDLE_PERCENT = 2.0
WRAPPERS = frozenset(
    {"sh", "bash", "dash", "zsh", "env", "timeout", "nice", "uv", "npm", "npx", "make", "xargs"}
)
_EXTERNAL: dict[Kind, Name] = {
    "input": "waiting_for_input", "reply": "awaiting_api", "connect": "awaiting_api", "pipe_full": "waiting_on_io",
    "file_lock": "waiting_on_io", "fifo": "waiting_on_io", "disk": "waiting_on_io",
}  # fmt: skip
_LONGEST = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """In seconds, ``looping`` in cycles; None: not looked for."""

    silent: float | None
    spinning: float | None
    looping: int | None
    step: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenStep:
    """The step that the workflow says it is in. ``expected``: for how long it has declared to be.

    ``usual``: how long it took in earlier runs.
    """

    name: str
    age: float
    expected: float | None = None
    usual: Usual | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What was seen of a run. All times are seconds up to ``now``, which is only shown.

    ``quiet``: without output and without a report that says something new; ``busy``: computing without a pause;
    ``cpu_percent``: since it is quiet; ``working``: what moves although it is quiet; ``finished``: what it said or did
    that means it is done; ``last_line``: of its output; ``parents``: of the processes of the tree.
    """

    now: datetime
    quiet: float
    busy: float
    cpu_percent: float
    stopped: float = 0.0
    repeat: Repeat | None = None
    repeating: float = 0.0
    step: OpenStep | None = None
    working: str = ""
    finished: str = ""
    last_line: str = ""
    main: int = 0
    parents: dict[int, int] | None = None
    names: dict[int, str] | None = None
    waits: Sequence[ThreadWait] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """``since``: seconds before now; ``sure``: from 0 to 1; ``detail``: one sentence without a full stop."""

    name: Name
    detail: str
    since: float
    sure: float


def needs_waits(thresholds: Thresholds, sight: Sight) -> bool:
    """Whether the verdict hangs on what its threads wait for, which costs more to see."""
    return thresholds.silent is not None and sight.quiet >= thresholds.silent and sight.busy == 0.0


def judge(thresholds: Thresholds, sight: Sight) -> Verdict | None:
    """The verdict; None when there is nothing to say against the run."""
    if sight.stopped > 0 and thresholds.silent is not None and sight.stopped >= min(thresholds.silent, 10.0):
        detail = (
            f"every process of it stands still since {at(sight, sight.stopped)}: it was stopped by a signal"
        )
        return Verdict(name="stopped", detail=detail, since=sight.stopped, sure=0.99)
    return _looping(thresholds, sight) or _step(thresholds, sight) or _quiet(thresholds, sight)


def _looping(thresholds: Thresholds, sight: Sight) -> Verdict | None:
    repeat = sight.repeat
    if thresholds.looping is None or repeat is None or repeat.cycles < thresholds.looping:
        return None
    lines = "the same line" if repeat.period == 1 else f"the same {repeat.period} lines"
    but = "" if repeat.is_exact else ", only the numbers change"
    detail = f"it prints {lines} again and again, {repeat.cycles} times so far{but}: {quoted(repeat.sample)}"
    return Verdict(
        name="looping", detail=detail, since=sight.repeating, sure=0.95 if repeat.is_exact else 0.8
    )


def _step(thresholds: Thresholds, sight: Sight) -> Verdict | None:
    step = sight.step
    if step is None:
        return None
    limit = thresholds.step
    said = "its limit"
    if limit is None and step.usual is not None:
        limit = step.usual.limit
        usual = step.usual
        said = f"its own history: usually {span(usual.usual)}, at most {span(usual.longest)}, {usual.times} times seen"
    if step.expected is not None:
        limit, said = step.expected * 1.5 + 1.0, f"the {span(step.expected)} it declared"
    if limit is None or step.age < limit:
        return None
    said = f"{said} of {span(limit)}" if said == "its limit" else said
    far = "far past" if said.startswith("its own") else "past"
    detail = f"step {quoted(step.name)} has taken {span(step.age)}, {far} {said}{_while_in(sight)}"
    return Verdict(name="step_overrun", detail=detail, since=step.age - (step.expected or limit), sure=0.9)


def _quiet(thresholds: Thresholds, sight: Sight) -> Verdict | None:
    if sight.working or _has_declared_a_wait(sight.step):
        return None
    if sight.busy > 0:
        if thresholds.spinning is None or min(sight.busy, sight.quiet) < thresholds.spinning:
            return None
        detail = (
            f"it computes at {sight.cpu_percent:.0f} % of a core and has said nothing since "
            f"{at(sight, sight.quiet)}"
        )
        return Verdict(name="spinning", detail=detail, since=sight.quiet, sure=0.8)
    if thresholds.silent is None or sight.quiet < thresholds.silent or sight.waits is None:
        return None
    return _waiting(sight, sight.waits)


def _has_declared_a_wait(step: OpenStep | None) -> bool:
    return step is not None and step.expected is not None and step.age < step.expected * 1.5 + 1.0


def _waiting(sight: Sight, waits: Sequence[ThreadWait]) -> Verdict:
    cause = cause_of(sight, waits)
    quiet = f"nothing was printed or reported since {at(sight, sight.quiet)}"
    if cause is not None and cause.kind in _EXTERNAL:
        detail = f"{_who(sight, cause)}{what(sight, cause)}; {quiet}"
        return Verdict(name=_EXTERNAL[cause.kind], detail=detail, since=sight.quiet, sure=0.9)
    if sight.finished:
        many = len(sight.parents or {})
        lives = "its process lives on" if many == 1 else f"{many} processes of it live on"
        detail = f"it seems to be done ({sight.finished}), but {lives}; {quiet}"
        return Verdict(name="finished_but_alive", detail=detail, since=sight.quiet, sure=0.75)
    if _speaks_of_a_lock(sight.last_line):
        detail = f"it waits for a lock, as its last line says: {quoted(sight.last_line)}; {quiet}"
        return Verdict(name="waiting_on_io", detail=detail, since=sight.quiet, sure=0.6)
    if cause is not None and cause.kind in ("child", "pipe_read"):
        children = sorted(pid for pid, parent in (sight.parents or {}).items() if parent == cause.pid)
        named = (
            ", ".join(f"{_name(sight, pid)} (pid {pid})" for pid in children[:3])
            or "a process that is not of its tree"
        )
        detail = f"{_who(sight, cause)}waits for {named}, which does nothing; {quiet}"
        return Verdict(name="waiting_on_child", detail=detail, since=sight.quiet, sure=0.85)
    if sight.cpu_percent > IDLE_PERCENT:
        detail = f"{quiet}, although it uses {sight.cpu_percent:.0f} % of a core"
        return Verdict(name="silent", detail=detail, since=sight.quiet, sure=0.6)
    doing = what(sight, cause) if cause is not None else "does nothing"
    who = _who(sight, cause) if cause is not None else ""
    return Verdict(
        name="idle", detail=f"{who}{doing}; {quiet}, and no CPU is used", since=sight.quiet, sure=0.8
    )


def cause_of(sight: Sight, waits: Sequence[ThreadWait]) -> ThreadWait | None:
    """The thread that the others wait for: one that waits for something outside before all, then the main one."""
    alive = [wait for wait in waits if wait.kind not in ("zombie", "stopped")]
    main = next((wait for wait in alive if wait.pid == sight.main and wait.is_main), None)
    for threads in (
        [wait for wait in alive if wait.is_main],
        [wait for wait in alive if not wait.is_main],
    ):
        external = [wait for wait in threads if wait.kind in _EXTERNAL]
        if external:
            # A connection that is merely kept open beside work is the weakest of reasons.
            return min(external, key=lambda wait: (wait.kind == "reply", wait.pid != sight.main))
    if main is not None and main.kind == "child" and _name(sight, main.pid) in WRAPPERS:
        below = [wait for wait in alive if wait.is_main and (sight.parents or {}).get(wait.pid) == main.pid]
        if len(below) == 1:
            return below[0]
    return main or next(iter(alive), None)


def _who(sight: Sight, cause: ThreadWait) -> str:
    return "it " if cause.pid == sight.main else f"its process {_name(sight, cause.pid)} (pid {cause.pid}) "


def _name(sight: Sight, pid: int) -> str:
    return (sight.names or {}).get(pid, "")


def what(sight: Sight, wait: ThreadWait) -> str:
    """What a thread does, as the end of a sentence: ``waits for a reply from 127.0.0.1:8443 (ESTABLISHED)``."""
    connection = wait.connection
    match wait.kind:
        case "reply" if connection is not None:
            quiet = connection.quiet_seconds
            heard = f", nothing received since {at(sight, quiet)}" if quiet is not None else ""
            return f"waits for a reply from {connection.peer} ({connection.state}{heard})"
        case "connect" if connection is not None:
            return f"waits for {connection.peer} to accept its connection ({connection.state})"
        case "accept":
            return f"waits for connections on {connection.local if connection is not None else 'a socket'}"
        case "input":
            return "waits for input that nobody gives it (a read on standard input)"
        case "pipe_full":
            return f"waits to write into a pipe or socket that is full, since nobody reads it (descriptor {wait.fd})"
        case "file_lock":
            return f"waits for a lock on {wait.on or 'a file'}"
        case "fifo":
            return f"waits for the other end of a FIFO{f' ({wait.on})' if wait.on else ''} to be opened"
        case "disk":
            return f"waits for the disk or the kernel{f' in {wait.place}' if wait.place else ''} (state {wait.state})"
        case "lock":
            return "waits for a lock of its own that nobody gives back"
        case "sleep":
            return "sleeps"
        case "child":
            return "waits for a child"
        case _:
            return f"waits{f' in {wait.place}' if wait.place else ''}"


def _while_in(sight: Sight) -> str:
    if sight.waits is None:
        return ""
    cause = cause_of(sight, sight.waits)
    return (
        f"; {_who(sight, cause)}{what(sight, cause)}" if cause is not None and cause.kind in _EXTERNAL else ""
    )


def _speaks_of_a_lock(line: str) -> bool:
    words = line.lower()
    return "lock" in words and any(
        word in words for word in ("wait", "held", "acquir", "busy", "taken", "exists")
    )


def quoted(text: str) -> str:
    """What the run itself said, cut to a bearable length."""
    clean = without_control_sequences(text)
    return f"“{clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + '…'}”"


def at(sight: Sight, seconds: float) -> str:
    """The moment so many seconds ago: a sentence that is read later must not grow wrong."""
    return f"{sight.now.astimezone(UTC) - timedelta(seconds=seconds):%H:%M:%S} UTC"


def span(seconds: float) -> str:
    """So long, as a person counts it."""
    if seconds < 120:  # noqa: PLR2004 - below two minutes, seconds are what a person counts
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - the same for hours
