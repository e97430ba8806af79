"""One record of the log on one line: seq, time, type, run, actor (surface), and what it says in short.

The detail is made from the record's own data by its type; a type that this version does not know shows its scalars.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runplane.cli.duration import show_duration
from runplane.cli.size import count
from runplane.cli.terminal import draw_line, one_line
from runplane.client import Record
from runplane.contract.envelope import COMMAND_TYPES

if TYPE_CHECKING:
    from rich.text import Text

Data = Mapping[str, Any]

_ENDINGS = {
    "RunCompleted": "green", "RunFailed": "red", "RunKilled": "red", "RunCanceled": "red", "RunTimedOut": "red",
    "RunLost": "red", "OutcomeOverridden": "magenta",
}  # fmt: skip
_WARNINGS = frozenset(
    {
        "ConditionRaised",
        "SurvivorsFound",
        "LeftoversFound",
        "CommandRejected",
        "RunUnreachable",
        "ReportSetAside",
        "NotificationFailed",
    }
)
NOBODY = "-"


def draw_record(record: Record, *, with_run: bool = True, before: "Text | None" = None) -> None:
    """Draw the line, after what is to stand ``before`` it."""
    head = record_head(record, with_run=with_run)
    draw_line(before + head if before is not None else head, detail_of(record))


def record_head(record: Record, *, with_run: bool = True) -> "Text":
    """Everything but the detail, coloured where the terminal has colours."""
    from rich.text import Text

    line = Text()
    line.append(f"{record.seq:>6}  ", style="dim")
    line.append(f"{record.time.astimezone():%H:%M:%S.%f}"[:12], style="dim")
    line.append(f"  {one_line(record.type, 40):<18}  ", style=style_of(record.type))
    if with_run:
        line.append(f"{record.run_id or subject_of(record):<16}  ")
    line.append(one_line(actor_of(record), 60), style="cyan")
    return line


def actor_of(record: Record) -> str:
    """``operator (mcp)``."""
    return f"{record.actor.principal} ({record.actor.surface})"


def style_of(type: str) -> str:
    """Orders stand out, endings have the colour of their outcome."""
    if type in COMMAND_TYPES:
        return "bold blue"
    return _ENDINGS.get(type, "yellow" if type in _WARNINGS else "")


def subject_of(record: Record) -> str:
    """What a record that belongs to no run is about: a host or a workflow."""
    data = record.data
    named = data.get("host") or data.get("name") or (data.get("definition") or {}).get("name")
    return one_line(named or NOBODY, 40)


def detail_of(record: Record) -> str:
    """What the record says, in a few words."""
    tell = _DETAILS.get(record.type, _scalars)
    try:
        return one_line(tell(record.data), 160)
    except (KeyError, TypeError, ValueError, AttributeError):
        return one_line(_scalars(record.data), 160)


def _scalars(data: Data) -> str:
    shown = [
        f"{name}={value}"
        for name, value in data.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and name != "run_id"
    ]
    return " ".join(shown[:4])


def _reason(data: Data) -> str:
    how = [word for word in ("force", "detach", "resume", "replace") if data.get(word)]
    return ", ".join([*how, *([f'"{data["reason"]}"'] if data.get("reason") else [])])


def _start(data: Data) -> str:
    spec = data["spec"]
    params = " ".join(f"{name}={value}" for name, value in spec.get("params", {}).items())
    return f"{spec['workflow']} {params}"


def _restart(data: Data) -> str:
    return f"of {data['run_id']} as {data['new_run_id']} {_reason(data)}"


def _spawned(data: Data) -> str:
    return f"pid {data['main']['pid']} ({data['mechanism']})"


def _progress(data: Data) -> str:
    done, total = data.get("done"), data.get("total")
    figure = "" if done is None else f"{done:g}" + (f"/{total:g}" if total is not None else "")
    return " ".join(str(part) for part in (figure, data.get("unit"), data.get("message")) if part)


def _step(data: Data) -> str:
    took = data.get("duration_seconds")
    took_text = f" in {show_duration(took)}" if took is not None else ""
    return f"{data['name']}{took_text} {data.get('error', '')}"


def _exited(data: Data) -> str:
    ended = data.get("exit") or {}
    return str(ended.get("signal") or f"exit {ended.get('code')}")


def _failure(data: Data) -> str:
    return f"{data['failure']['kind']}: {data['failure']['message']}"


def _killed(data: Data) -> str:
    receipt = data["receipt"]
    gone = count(len(receipt["processes"]), "process", "processes")
    return f"{gone} gone, shown by {', '.join(receipt['verified_by'])}, {show_duration(receipt['duration_ms'] / 1000)}"


def _condition(data: Data) -> str:
    condition = data["condition"]
    return f"{condition['type']} {condition.get('verdict') or ''}: {condition.get('detail', '')}"


def _survivors(data: Data) -> str:
    return "; ".join(f"pid {one['pid']} {one['why']}" for one in data["survivors"])


def _tries(data: Data) -> str:
    return f" ({data['attempts']} attempts)" if data["attempts"] > 1 else ""


def _joined(data: Data) -> str:
    return f"{data['slots']} slots, pools {', '.join(data['pools'])}, {data['mechanism']}, version {data['version']}"


_DETAILS: dict[str, Callable[[Data], str]] = {
    "StartRun": _start,
    "KillRun": _reason,
    "RestartRun": _restart,
    "ForceCompleteRun": lambda data: f"{data['outcome']} {_reason(data)}",
    "RunClaimed": lambda data: f"attempt {data['attempt']} on {data['host']}",
    "ProcessSpawned": _spawned,
    "ProgressReported": _progress,
    "StepStarted": _step,
    "StepCompleted": _step,
    "StepFailed": _step,
    "ConditionRaised": _condition,
    "DiagnosisTaken": lambda data: data["diagnosis"]["sentence"],
    "RunTerminating": lambda data: (
        f"{data['purpose']}, {data['method']}, grace {show_duration(data['grace_seconds'])}"
    ),
    "ProcessExited": _exited,
    "SurvivorsFound": _survivors,
    "LeftoversFound": lambda data: (
        f"{count(len(data['processes']), 'process', 'processes')} left ({data['policy']})"
    ),
    "TreeVerifiedGone": lambda data: f"shown by {', '.join(data['verified_by'])}",
    "RunFailed": _failure,
    "RunLost": _failure,
    "RunTimedOut": _failure,
    "RunKilled": _killed,
    "OutcomeOverridden": lambda data: f"{data['outcome']} {_reason(data)}; {data['observed']}",
    "RestartAccepted": lambda data: f"as {data['new_run_id']} {_reason(data)}",
    "CommandRejected": lambda data: f"{data['command']}: {data['message']}",
    "NotificationDelivered": lambda data: f"{data['about']} to {data['target']}{_tries(data)}",
    "NotificationFailed": lambda data: f"{data['about']} to {data['target']}{_tries(data)}: {data['error']}",
    "HostJoined": _joined,
    "WorkflowApplied": lambda data: f"version {data['version']}",
}
