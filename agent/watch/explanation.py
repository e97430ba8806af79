"""What a run does, in one plain sentence: the top of a diagnosis.

Pure: from what was seen (the detector's sight, what the threads wait for, their stacks) to words. Spans of time are
right at the moment of the look, which stands beside the sentence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.watch.verdict import BUSY_PERCENT, Sight, cause_of, quoted, span, what
from agent.watch.waits import ThreadWait
from runplane.contract.diagnosis import Frame

Stacks = Mapping[int, Sequence[Frame]]
Names = Mapping[int, str]
_OTHERS = 2
_JUST_NOW_SECONDS = 1.0


def explain(workflow: str, sight: Sight, verdict: str | None, stacks: Stacks, names: Names) -> str:
    """The sentence, with its full stop. ``verdict``: the one that stands of the run, if any; ``names``: of threads."""
    waits = [replace(wait, name=names.get(wait.tid, wait.name)) for wait in sight.waits or ()]
    cause = cause_of(sight, waits)
    match verdict:
        case None:
            said = _not_stuck(sight, cause, waits, stacks)
        case "spinning":
            said = f" has been computing at {sight.cpu_percent:.0f} % of a core and silent for {span(sight.quiet)}"
            said += _where(_running(sight, waits), stacks)
        case "looping" if sight.repeat is not None:
            lines = "the same line" if sight.repeat.period == 1 else f"the same {sight.repeat.period} lines"
            said = (
                f" has been printing {lines} for {span(sight.repeating)}, {sight.repeat.cycles} times so far"
            )
            said += f" ({quoted(sight.repeat.sample)}){_where(_running(sight, waits) or cause, stacks)}"
        case "step_overrun" if sight.step is not None:
            said = f" has been in step {quoted(sight.step.name)} for {span(sight.step.age)}"
            said += (
                f"; right now {_who(sight, cause)} {what(sight, cause)}{_where(cause, stacks)}"
                if cause
                else ""
            )
        case "stopped":
            said = f" has stood still for {span(sight.stopped)}: every process of it was stopped by a signal"
            said += f"{_where(cause_of(sight, [_awake(wait) for wait in waits]), stacks)}"
        case "finished_but_alive":
            many = len(sight.parents or {})
            lives = "its process lives on" if many == 1 else f"{many} processes of it live on"
            seems = f" seems to be done ({sight.finished})" if sight.finished else " seems to be done"
            said = f"{seems}, but {lives}, silent for {span(sight.quiet)}"
            said += f"; {_who(sight, cause)} {what(sight, cause)}{_where(cause, stacks)}" if cause else ""
        case _ if cause is None:
            said = f" has said nothing for {span(sight.quiet)}, and what it waits for is not to be seen"
        case _:
            said = f"{_has_been(sight, cause)}{_where(cause, stacks)}{_also(sight, cause, waits, stacks)}"
    return f"{workflow}{said}."


def _not_stuck(sight: Sight, cause: ThreadWait | None, waits: Sequence[ThreadWait], stacks: Stacks) -> str:
    spoke = "just now" if sight.quiet < _JUST_NOW_SECONDS else f"{span(sight.quiet)} ago"
    step = f", step {quoted(sight.step.name)} for {span(sight.step.age)}" if sight.step is not None else ""
    running = _running(sight, waits)
    if sight.busy > 0 or sight.cpu_percent >= BUSY_PERCENT:
        return (
            f" is at work: it computes at {sight.cpu_percent:.0f} % of a core{_where(running or cause, stacks)}"
            f" (last heard of {spoke}{step})"
        )
    if sight.working:
        return f" is at work: {sight.working}{_where(running or cause, stacks)} (last heard of {spoke}{step})"
    if cause is None:
        return f" is not stuck as far as can be seen (last heard of {spoke}{step})"
    if sight.quiet >= _JUST_NOW_SECONDS and cause.kind != "running":
        said = f"{_has_been(sight, cause)}{_where(cause, stacks)}{_also(sight, cause, waits, stacks)}"
        return f"{said}; it does not count as stuck yet{step}"
    return (
        f" is not stuck as far as can be seen: right now {_who(sight, cause)} {what(sight, cause)}"
        f"{_where(cause, stacks)} (last heard of {spoke}{step})"
    )


def _has_been(sight: Sight, cause: ThreadWait) -> str:
    """What it has been doing for so long, where ``what`` says what it does."""
    doing, long = what(sight, cause), span(sight.quiet)
    subject = "" if cause.pid == sight.main else f": {_who(sight, cause)}"
    for now, since in (
        ("waits for ", f"has been waiting {long} for "),
        ("waits to ", f"has been waiting {long} to "),
        ("waits", f"has been waiting {long}"),
        ("sleeps", f"has been sleeping for {long}"),
    ):
        if doing.startswith(now):
            return f"{subject} {since}{doing[len(now) :]}"
    return f"{subject} {doing}, for {long} now"


def _who(sight: Sight, cause: ThreadWait) -> str:
    if cause.pid == sight.main:
        return "it"
    return f"its process {(sight.names or {}).get(cause.pid, '')} (pid {cause.pid})".replace("  ", " ")


def _where(wait: ThreadWait | None, stacks: Stacks) -> str:
    """The innermost call of the workflow's own code, or else of any."""
    if wait is None or not (stack := stacks.get(wait.tid)):
        return ""
    frame = next((frame for frame in stack if frame.own), stack[0])
    return f", in {frame}"


def _also(sight: Sight, cause: ThreadWait, waits: Sequence[ThreadWait], stacks: Stacks) -> str:
    """Who else is part of it: the other threads that wait for locks, or the child that is waited for."""
    if cause.kind == "lock":
        others = [
            wait for wait in waits if wait.kind == "lock" and wait.tid != cause.tid and wait.tid in stacks
        ]
        told = [
            f"thread {wait.name} waits for one{_where(wait, stacks)}"
            for wait in others
            if any(frame.own for frame in stacks[wait.tid])
        ]
        return "".join(f"; {words}" for words in told[:_OTHERS])
    if cause.kind in ("child", "pipe_read"):
        children = [
            wait for wait in waits if wait.is_main and (sight.parents or {}).get(wait.pid) == cause.pid
        ]
        told = [f"{_who(sight, wait)} {what(sight, wait)}{_where(wait, stacks)}" for wait in children]
        return "".join(f"; {words}" for words in told[:_OTHERS])
    return ""


def _running(sight: Sight, waits: Sequence[ThreadWait]) -> ThreadWait | None:
    """A thread that computes, of the main process before others."""
    running = [wait for wait in waits if wait.kind == "running"]
    return min(running, key=lambda wait: (wait.pid != sight.main, not wait.is_main), default=None)


def _awake(wait: ThreadWait) -> ThreadWait:
    """As it would be if it were not stopped: to find the thread that the sentence is about."""
    return ThreadWait(pid=wait.pid, tid=wait.tid, name=wait.name, state=wait.state, kind="unknown")
