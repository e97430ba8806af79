"""Stories: what is asked of a run and what happens to it, line by line, and what follows by ``decide`` and ``apply``.

A story file has a title and a reason in lines with ``#``, then blocks. ``given`` and ``when`` hold records in short::

    +60s  ada/cli  KillRun a reason="it hangs"      an order: who asked, through what
    +61s  h1       ProcessExited a signal=SIGTERM   a fact that a host saw
    +90s  plane    RunUnreachable a                 a fact of the control plane

Runs are ``a``, ``b``, ``c``. An order is stored in the log and decided by whoever owns the run then; one that ends
with ``(undecided)`` is only stored, and ``decides`` decides it later: ``+62s h1 decides a``. ``then`` is generated:
what was decided, refused or kept as an anomaly, and how each run that was touched stands.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast, get_args

from runplane.contract.commands import RestartRun, RunCommand
from runplane.contract.envelope import TYPES, Envelope
from runplane.contract.run import Failure, Run, Surface
from runplane.contract.spec import RunSpec
from runplane.contract.units import parse_duration
from runplane.contract.value import Value
from runplane.core.decide import Rejection, decide, owner
from runplane.core.fold import apply, initial
from runplane.core.policies.recovery import fact_after
from runplane.core.state import RunState
from tests.records import NOON, PROCESS, SPEC, receipt, record

RUNS = {name: f"run_00000000000{name}" for name in "abc"}
_NAMES = {run_id: name for name, run_id in RUNS.items()}
_LINE = re.compile(r"\+(?P<after>\S+)\s+(?P<who>\S+)\s+(?P<record>\w+)\s+(?P<run>[abc])(?P<rest>.*)")
_UNDECIDED = "(undecided)"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One ``given``, ``when`` or ``then`` with its lines."""

    kind: str
    lines: tuple[str, ...]


def parse(text: str) -> tuple[list[str], list[Block]]:
    """Split a story into the lines of its head and its blocks."""
    head: list[str] = []
    blocks: list[Block] = []
    for line in text.splitlines():
        if line.startswith("#"):
            head.append(line)
        elif line in ("given", "when", "then"):
            blocks.append(Block(kind=line, lines=()))
        elif line.strip():
            last = blocks.pop()
            blocks.append(Block(kind=last.kind, lines=(*last.lines, line.strip())))
    return head, blocks


def retell(text: str) -> str:
    """The whole story with every ``then`` as it follows now."""
    head, blocks = parse(text)
    world = World()
    told = ["\n".join(head)]
    for block in blocks:
        if block.kind == "then":
            continue
        told.append("\n".join([block.kind, *(f"  {line}" for line in block.lines)]))
        told.append("\n".join(["then", *(f"  {line}" for line in world.play(block.lines))]))
    return "\n\n".join(told) + "\n"


@dataclass
class World:
    """The log so far, and each run folded from it."""

    seq: int = 0
    states: dict[str, RunState] = field(default_factory=dict)
    waiting: dict[str, list[Envelope]] = field(default_factory=dict)

    def play(self, lines: tuple[str, ...]) -> Iterator[str]:
        """Tell the lines; yields what follows, then how each touched run stands."""
        touched: dict[str, None] = {}
        for line in lines:
            for run_id, said in self._play_line(line):
                touched[run_id] = None
                if said:
                    yield said
        for run_id in touched:
            yield from summary(_NAMES[run_id], self.state(run_id))

    def state(self, run_id: str) -> RunState:
        """The run as it stands."""
        return self.states.get(run_id, initial())

    def _play_line(self, line: str) -> Iterator[tuple[str, str]]:
        match = _LINE.fullmatch(line)
        assert match, f"cannot read the line {line!r}"
        run_id, rest = RUNS[match["run"]], match["rest"].strip()
        time = NOON + timedelta(seconds=parse_duration(match["after"]))
        if match["record"] == "decides":
            for order in self.waiting.pop(run_id, []):
                yield from self._decide(run_id, order.model_copy(update={"time": time}))
            return
        undecided = rest.endswith(_UNDECIDED)
        words = _words(rest.removesuffix(_UNDECIDED))
        envelope = self._envelope(match["record"], match["who"], run_id, words, time)
        story = str(envelope.run_id)
        yield from self._tell(envelope)
        if not isinstance(envelope.data, get_args(RunCommand)) or match["record"] == "StartRun":
            return
        if undecided:
            self.waiting.setdefault(run_id, []).append(envelope)
            yield story, ""
        else:
            yield from self._decide(run_id, envelope)

    def _envelope(self, kind: str, who: str, run_id: str, words: dict[str, Any], time: Any) -> Envelope:
        principal, _, surface = who.partition("/")
        host = who if not surface and who != "plane" else None
        state = self.state(run_id)
        run = state.run
        if kind == "attempt":  # how it ended; what is told of that is the policy's
            return self._failed_attempt(state, who, run_id, words, time)
        if not surface:  # what an order led to is told in the name of whoever gave it
            ending = state.termination if kind in {"RunKilled", "OutcomeOverridden", "RunTimedOut"} else None
            principal, surface = (ending.requested_by, ending.via) if ending else ("runplane", "policy")
        named = None if kind == "RetryScheduled" else words.pop("attempt", None)
        attempt = named or ((run.attempt or None) if run and host else None)
        data = _data(kind, run_id, host, words, state)
        story = data.new_run_id if isinstance(data, RestartRun) else run_id
        return record(
            data,
            run_id=story,
            host=host,
            attempt=attempt,
            time=time,
            principal=principal,
            surface=cast("Surface", surface),
        )

    def _failed_attempt(
        self, state: RunState, who: str, run_id: str, words: dict[str, Any], time: Any
    ) -> Envelope:
        assert state.run is not None
        assert state.spec is not None
        ending = words.pop("ending", "failed")
        fact = fact_after(
            state.run,
            state.spec,
            ending=ending,
            exit_code=words.pop("code", None),
            failure=Failure(**_failure(words, "exit_code")["failure"]),
            receipt=receipt() if ending in ("stuck", "timed_out") else None,
        )
        host = None if who == "plane" else who
        return record(fact, run_id=run_id, host=host, attempt=state.run.attempt if host else None, time=time)

    def _tell(self, envelope: Envelope) -> Iterator[tuple[str, str]]:
        self.seq += 1
        run_id = str(envelope.run_id)
        before = self.state(run_id)
        self.states[run_id] = apply(before, envelope, self.seq)
        new = self.states[run_id].anomalies[len(before.anomalies) :]
        yield run_id, "".join(f"anomaly: {one.type} of {_NAMES[run_id]}: {_short(one.why)}" for one in new)

    def _decide(self, run_id: str, order: Envelope) -> Iterator[tuple[str, str]]:
        command = cast("RunCommand", order.data)
        state = self.state(run_id)
        host = owner(state, command)
        decision = decide(state, command, order.time)
        who = host or "the plane"
        if isinstance(decision, Rejection):
            yield run_id, f"{who} refuses ({decision.code}): {_short(decision.message)}"
            return
        if not decision:
            yield run_id, f"{who} has nothing to do: it is so already"
        for event in decision:
            yield run_id, f"{who} decides {_named(event)}"
            fact = record(
                event,
                run_id=run_id,
                host=host,
                attempt=state.run.attempt if state.run and host else None,
                time=order.time,
                principal=order.actor.principal,
                surface=order.actor.surface,
                command_id=order.id,
            )
            yield from self._tell(fact)


def summary(name: str, state: RunState) -> Iterator[str]:
    """How a run stands, for a person."""
    run = state.run
    if run is None:
        yield f"{name}: nobody asked for it"
        return
    yield f"{name}: {run.status}{_where(run)}"
    if state.termination is not None and not run.status.ended:
        ending = state.termination
        how = "by force" if ending.force else f"with {ending.grace_seconds:g}s of grace"
        what = f" as {ending.outcome}" if ending.outcome else ""
        yield f"   being ended {how} for {ending.purpose}{what}, asked by {ending.requested_by} ({ending.via})"
    for title, said in _details(run):
        yield f"   {title}: {said}"


def _details(run: Run) -> Iterator[tuple[str, str]]:
    following = run.next_attempt
    if following is not None:
        since = (
            f"{(following.at - NOON).total_seconds():g} s"
            if following.at is not None
            else "not scheduled yet"
        )
        where = "from the last checkpoint" if following.resume else "from the beginning"
        yield f"attempt {following.attempt}", f"at {since}, {where}"
    if run.step is not None:
        yield "step", run.step.name
    if run.progress is not None:
        yield "progress", f"{run.progress.done:g} of {run.progress.total:g}"
    for condition in run.conditions:
        yield condition.type, condition.detail
    if run.exit is not None:
        yield "exit", run.exit.signal or f"code {run.exit.code}"
    if run.failure is not None:
        yield "failure", f"{run.failure.kind}: {run.failure.message}"
    if run.kill_receipt is not None:
        proof = ", ".join(run.kill_receipt.verified_by)
        yield "receipt", f"{run.kill_receipt.method}, verified by {proof}"
    if run.override is not None:
        yield "declared", f"{run.override.outcome} by {run.override.by}; observed: {run.override.observed}"
    if run.restarted_from:
        yield "restarted from", _NAMES[run.restarted_from]
    if run.recovers:
        yield "recovers", _NAMES[run.recovers]
    if run.recovered_by:
        yield "recovered by", _NAMES[run.recovered_by]
    if run.restarted_as:
        yield "restarted as", _NAMES[run.restarted_as]
    if run.anomalies:
        yield "anomalies", str(run.anomalies)


def _where(run: Run) -> str:
    if run.attempt:
        return f" on {run.host or 'no host'}, attempt {run.attempt}"
    return f", meant for {run.host}" if run.host else ""


def _named(event: Value) -> str:
    fields = {
        name: value
        for name, value in event.model_dump(mode="json", exclude_defaults=True).items()
        if value is not None
    }
    said = " ".join(f"{name}={_short(json.dumps(value))}" for name, value in fields.items())
    return f"{type(event).__name__} {said}".strip()


def _short(text: str) -> str:
    """The names of this story instead of the ids."""
    for name, run_id in RUNS.items():
        text = text.replace(run_id, name)
    return text


def _words(rest: str) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for part in shlex.split(rest):
        key, _, value = part.partition("=")
        try:
            words[key] = json.loads(value)
        except ValueError:
            words[key] = value
    return words


def _spec(words: dict[str, Any]) -> RunSpec:
    of_the_spec = {name: words.pop(name) for name in list(words) if name in RunSpec.model_fields}
    return RunSpec.model_validate(SPEC.model_dump(by_alias=True) | of_the_spec)


def _failure(words: dict[str, Any], kind: str) -> dict[str, Any]:
    failure = {"kind": words.pop("kind", kind), "message": words.pop("message", kind)}
    return {"failure": failure}


def _process(words: dict[str, Any]) -> dict[str, Any]:
    why = words.pop("why", "still alive")
    return {"pid": words.pop("pid", 4243), "start_time": 1, "cmdline": "sleep 600", "why": why}


_FILLED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "StartRun": lambda words: {"spec": _spec(words)},
    "RestartRun": lambda words: {"new_run_id": RUNS[words.pop("new")], "spec": SPEC},
    "RunClaimed": lambda words: {
        "attempt": words.pop("claims", 1),
        "boot_id": "boot-1",
        "agent_id": "agent-1",
    },
    "ProcessSpawned": lambda _: {"main": PROCESS, "shim": PROCESS, "mechanism": "cgroup"},
    "ProcessExited": lambda words: {
        "exit": {name: words.pop(name) for name in ("code", "signal") if name in words}
    },
    "RunFailed": lambda words: _failure(words, "exit_code"),
    "RunLost": lambda words: _failure(words, "host_lost"),
    "RunTimedOut": lambda words: {**_failure(words, "timeout"), "receipt": receipt()},
    "RunKilled": lambda words: {
        "receipt": receipt(method=words.pop("method", "graceful"), verified=words.pop("verified", True))
    },
    "OutcomeOverridden": lambda words: {"receipt": receipt()} if words.pop("receipt", False) else {},
    "AttemptFailed": lambda words: _failure(words, "exit_code"),
    "TreeVerifiedGone": lambda _: {"verified_by": ("cgroup",)},
    "SurvivorsFound": lambda words: {"survivors": [_process(words)]},
    "LeftoversFound": lambda words: {"processes": [_process(words)], "policy": "end"},
    "StepStarted": lambda _: {"index": 1},
    "StepCompleted": lambda _: {"index": 1},
}


def _data(kind: str, run_id: str, host: str | None, words: dict[str, Any], state: RunState) -> Value:
    """The record's data: what the line says, and what every such record has."""
    model = TYPES[kind]
    if kind == "RetryScheduled":
        words["at"] = NOON + timedelta(seconds=words["at"])
    filled = _FILLED[kind](words) if kind in _FILLED else {}
    known: dict[str, Any] = {"run_id": run_id, "host": host or (state.run.host if state.run else None)}
    common = {name: value for name, value in known.items() if name in model.model_fields}
    unknown = set(words) - set(model.model_fields)
    assert not unknown, f"{kind} has no {', '.join(sorted(unknown))}"
    return model.model_validate(common | filled | words)
