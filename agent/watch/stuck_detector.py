"""Watches one attempt for being stuck: gathers what is seen of it, has it judged, and says what is to be told.

Called by the keeper with every sample. Rules: a look is cheap while the run does anything; what its threads wait for is
looked at only when it has been quiet for a while, and ever more rarely the longer that stays so. A verdict is told when
two looks in a row came to it, and taken back by the first sign of life. Works without the control plane.
"""

import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.watch import waits, work
from agent.watch.output_tail import OutputTail
from agent.watch.sampler import TreeSample
from agent.watch.verdict import BUSY_PERCENT, OpenStep, Sight, Thresholds, Verdict, judge, needs_waits
from runplane.contract.events import ConditionCleared, ConditionRaised
from runplane.contract.run import Condition, Run, Status
from runplane.contract.spec import Learned
from runplane.contract.value import Value
from runplane.contract.workflow import StuckPolicy
from runplane.stamp import now as wall_clock

STUCK = "stuck"
AUTO = Thresholds(silent=300.0, spinning=300.0, looping=50, step=None)
"""What ``auto`` means for a workflow of which nothing is known yet."""
_AUTO_LOOPING_SECONDS = 60.0
_LEAST_LOOPING_SECONDS = 1.0
_MOST_PAUSE_SECONDS = 30.0
_AGREEING_LOOKS = 2
_SEEN_AGAIN_SECONDS = 10.0
_MOST_SHOWN = 20
_DONE = re.compile(
    r"\b(?:done|finished|completed?|succe(?:ss|ssful|ssfully|eded)|all tests passed|report written|exiting|goodbye"
    r"|bye|shutting down|result)\b",
    re.IGNORECASE,
)


def thresholds_of(policy: StuckPolicy, learned: Learned | None = None) -> Thresholds:
    """The thresholds of a workflow's policy; ``auto`` is what its earlier runs teach, or else :data:`AUTO`."""
    quiet = learned.quiet.limit if learned is not None and learned.quiet is not None else None
    return Thresholds(
        silent=(quiet or AUTO.silent) if policy.silent == "auto" else policy.silent,
        spinning=max(quiet or 0.0, AUTO.spinning or 0.0) if policy.spinning == "auto" else policy.spinning,
        looping=AUTO.looping if policy.looping == "auto" else policy.looping,
        step=AUTO.step if policy.step == "auto" else policy.step,
    )


class StuckDetector:
    """Of one attempt. ``mask`` takes secrets out of what is told. ``last_sight``: what the last look saw."""

    def __init__(
        self,
        policy: StuckPolicy,
        directory: Path,
        main: int,
        *,
        age: float,
        mask: Callable[[str], str],
        learned: Learned | None = None,
    ) -> None:
        """``age``: seconds since the attempt was started, which may have been long before this agent."""
        self._thresholds = thresholds_of(policy, learned)
        self._learned = learned
        self._usual_steps = learned.steps if learned is not None and policy.step == "auto" else {}
        self._longest_quiet: float | None = None
        self._looping_seconds = _AUTO_LOOPING_SECONDS if policy.looping == "auto" else _LEAST_LOOPING_SECONDS
        self._directory = directory
        self._main = main
        self._mask_secrets = mask
        started = time.monotonic()
        self._quiet_since = started - min(age, self._since_last_write(directory))
        self._streams = {name: OutputTail(directory / f"{name}.log") for name in ("stdout", "stderr")}
        self._begun = started
        self._held_until: float | None = None
        self._said: tuple[Any, ...] | None = None
        self._advanced_at = self._quiet_since
        self._advance: tuple[Any, ...] | None = None
        self._step_since: tuple[tuple[str, int], float] | None = None
        self._busy_since: float | None = None
        self._dips = 0
        self._cpu_seconds = self._cpu_elapsed = 0.0
        self._stopped_since: float | None = None
        self._moved: work.Moved | None = None
        self._working = ""
        self._next_close_look = 0.0
        self._pause = 0.0
        self._waits: list[waits.ThreadWait] | None = None
        self._candidate: tuple[str, int] = ("", 0)
        self._told = ""
        self.last_sight: Sight | None = None

    @property
    def longest_quiet(self) -> float | None:
        """The longest that nothing was printed or reported, up to now; None before the first look."""
        if self._longest_quiet is None:
            return None
        return max(self._longest_quiet, time.monotonic() - self._quiet_since)

    @property
    def patience(self) -> float:
        """The shortest time after which it may come to a verdict, in seconds; infinite where nothing is looked for."""
        limits = (self._thresholds.silent, self._thresholds.spinning, self._thresholds.step)
        return min((limit for limit in limits if limit is not None), default=math.inf)

    def look(self, sample: TreeSample, run: Run) -> Value | None:
        """What is to be told now, if anything."""
        now = time.monotonic()
        self._told = next((c.verdict or "" for c in run.conditions if c.type == STUCK), "")
        if run.status is not Status.RUNNING:
            self._be_patient(now)
            return ConditionCleared(type=STUCK) if self._told and run.status is Status.PAUSED else None
        if self._held_until is None:
            self._held_until = now + self._seconds_to_see_again()
        self._take_in(sample, run, now)
        sight = self._sight(sample, run, now)
        self.last_sight = sight
        verdict = judge(self._thresholds, sight)
        return self._decided(verdict, sight)

    def _decided(self, verdict: Verdict | None, sight: Sight) -> Value | None:
        if verdict is None:
            self._candidate = ("", 0)
            is_over = self._told and self._is_alive_again(sight) and not self._is_held()
            return ConditionCleared(type=STUCK) if is_over else None
        name, looks = self._candidate
        looks = looks + 1 if name == verdict.name else 1
        self._candidate = (verdict.name, looks)
        if looks < _AGREEING_LOOKS or verdict.name == self._told:
            return None
        since = wall_clock() - timedelta(seconds=max(0.0, verdict.since))
        condition = Condition(
            type=STUCK,
            verdict=verdict.name,
            since=since,
            detail=self._mask(verdict.detail),
            evidence=self._evidence(verdict, sight),
        )
        return ConditionRaised(condition=condition)

    def _is_alive_again(self, sight: Sight) -> bool:
        """A verdict that is no longer come to for want of a close look is not taken back."""
        return not (needs_waits(self._thresholds, sight) and sight.waits is None)

    def _seconds_to_see_again(self) -> float:
        """How long it takes to come to the verdict that an earlier agent had come to."""
        known = {"looping": self._looping_seconds, "spinning": self._thresholds.spinning or 0.0}
        return _SEEN_AGAIN_SECONDS + known.get(self._told, 0.0)

    def _is_held(self) -> bool:
        """Whether a verdict of an earlier agent stands for want of time to see it again, and of a sign of life."""
        is_quiet = self._told == "looping" or self._quiet_since <= self._begun
        return is_quiet and self._held_until is not None and time.monotonic() < self._held_until

    def _mask(self, text: str) -> str:
        return self._mask_secrets(_sayable(text))

    def _be_patient(self, now: float) -> None:
        """The run is held, or its end is under way: the time does not count against it."""
        self._quiet_since = self._advanced_at = now
        self._busy_since = self._stopped_since = None
        self._step_since = None
        self._candidate = ("", 0)

    def _take_in(self, sample: TreeSample, run: Run, now: float) -> None:
        grown = [stream.read_on(now) for stream in self._streams.values()]
        progress, step = run.progress, run.step
        said = (
            (progress.done, progress.total, progress.message) if progress is not None else (),
            (step.name, step.index) if step is not None else (),
        )
        advance = (said[0][:2], said[1])
        is_first = self._said is None
        if advance != self._advance:
            self._advance, self._advanced_at = advance, self._advanced_at if is_first else now
        if is_first:
            self._said = said  # of an attempt that an earlier agent watched: nothing new
            self._longest_quiet = 0.0
        elif any(grown) or said != self._said:
            self._said = said
            self._longest_quiet = max(self._longest_quiet or 0.0, now - self._quiet_since)
            self._quiet_since = now
            self._cpu_seconds = self._cpu_elapsed = 0.0
            self._moved, self._working, self._waits = None, "", None
            self._pause = self._next_close_look = 0.0
        self._cpu_seconds += sample.cpu_seconds
        self._cpu_elapsed += sample.elapsed
        percent = 100.0 * sample.cpu_seconds / sample.elapsed if sample.elapsed > 0 else 0.0
        if percent >= BUSY_PERCENT:
            self._dips = 0
            if self._busy_since is None:
                self._busy_since = now - sample.elapsed
        else:
            self._dips += 1
            if self._dips >= _AGREEING_LOOKS:
                self._busy_since = None
        if sample.is_stopped:
            self._stopped_since = self._stopped_since or now
        else:
            self._stopped_since = None

    def _sight(self, sample: TreeSample, run: Run, now: float) -> Sight:
        quiet = now - self._quiet_since
        stream = max(self._streams.values(), key=lambda one: one.grew_at)
        repeat = stream.repetition.found()
        if repeat is not None and (
            self._advanced_at > repeat.since
            or now - repeat.since < self._looping_seconds
            or now - stream.grew_at > max(10.0, (now - repeat.since) / 2)
        ):
            repeat = None
        busy = now - self._busy_since if self._busy_since is not None else 0.0
        sight = Sight(
            now=wall_clock(),
            quiet=quiet,
            busy=busy,
            cpu_percent=100.0 * self._cpu_seconds / self._cpu_elapsed if self._cpu_elapsed > 0 else 0.0,
            stopped=now - self._stopped_since if self._stopped_since is not None else 0.0,
            repeat=repeat,
            repeating=now - repeat.since if repeat is not None else 0.0,
            step=self._open_step(run, now),
            finished=self._finished(sample, run, stream.last_line),
            last_line=stream.last_line,
            main=self._main,
            parents={one.pid: one.ppid for one in sample.processes},
            names={one.pid: one.name for one in sample.processes},
        )
        self._look_closely(sample, sight, now)
        return replace(sight, working=self._working, waits=self._waits)

    def _look_closely(self, sample: TreeSample, sight: Sight, now: float) -> None:
        """At what moves and what is waited for, once it has been quiet for half of what is allowed."""
        allowed = min(filter(None, (self._thresholds.silent, self._thresholds.spinning)), default=None)
        if allowed is None or sight.quiet < allowed / 2 or now < self._next_close_look:
            return
        pids = [one.pid for one in sample.processes]
        moved = work.look(pids, str(self._directory), sample.resources.io_write_bytes or 0)
        self._working = moved.since(self._moved) if self._moved is not None else ""
        self._moved = moved
        self._waits = waits.look(pids) if needs_waits(self._thresholds, sight) else None
        if self._told or self._working:
            self._pause = min(_MOST_PAUSE_SECONDS, max(1.0, self._pause * 1.5))
        else:
            self._pause = 0.0
        self._next_close_look = now + self._pause

    def _open_step(self, run: Run, now: float) -> OpenStep | None:
        step = run.step
        if step is None:
            self._step_since = None
            return None
        key = (step.name, step.index)
        if self._step_since is None or self._step_since[0] != key:
            age = max(0.0, (wall_clock() - step.started_at).total_seconds())
            self._step_since = (key, now - min(age, now - self._quiet_since + 1.0))
        return OpenStep(
            name=step.name,
            age=now - self._step_since[1],
            expected=step.expected_seconds,
            usual=self._usual_steps.get(step.name),
        )

    def _finished(self, sample: TreeSample, run: Run, last_line: str) -> str:
        if all(one.pid != self._main for one in sample.processes):
            return "its main process has ended"
        progress = run.progress
        if (
            run.step is None
            and progress is not None
            and progress.total
            and (progress.done or 0) >= progress.total
        ):
            return f"progress {progress.done:g} of {progress.total:g}"
        return f"its last line is “{last_line[:80]}”" if last_line and _DONE.search(last_line) else ""

    def _evidence(self, verdict: Verdict, sight: Sight) -> dict[str, Any]:
        threads = [
            {
                "pid": one.pid, "tid": one.tid, "name": _sayable(one.name), "state": one.state, "waits_for": one.kind,
                "call": one.call, "in": one.place, "on": self._mask(one.on),
                "peer": one.connection.peer if one.connection is not None else None,
            }
            for one in (sight.waits or ())[:_MOST_SHOWN]
        ]  # fmt: skip
        repeat = sight.repeat
        return {
            "sure": verdict.sure,
            "quiet_seconds": round(sight.quiet, 1),
            "busy_seconds": round(sight.busy, 1),
            "cpu_percent": round(sight.cpu_percent, 1),
            "thresholds": asdict(self._thresholds),
            "last_line": self._mask(sight.last_line[:200]),
            "threads": threads,
            "repeat": {"period": repeat.period, "cycles": repeat.cycles} if repeat is not None else None,
            "step": {
                "name": sight.step.name,
                "age": round(sight.step.age, 1),
                "expected": sight.step.expected,
            }
            if sight.step is not None
            else None,
            "learned": self._learned.model_dump() if self._learned is not None else None,
        }

    @staticmethod
    def _since_last_write(directory: Path) -> float:
        """Seconds since the run last wrote anything, for an attempt that an earlier agent began to watch."""
        written = []
        for name in ("stdout.log", "stderr.log", "reports.jsonl"):
            try:
                written.append((directory / name).stat().st_mtime)
            except OSError:
                continue
        return max(0.0, time.time() - max(written)) if written else 0.0


def _sayable(text: str) -> str:
    """Names of files need not be UTF-8; what is told has to be."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
