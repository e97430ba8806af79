"""Hypothesis strategies that make real records: whole envelopes of every type, likely stories, and garbage."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from runplane.contract.commands import (
    Command,
    ContinueRun,
    DecideRun,
    DiagnoseRun,
    DrainHost,
    EndAttempt,
    EvaluateExpression,
    ForceCompleteRun,
    KillRun,
    PauseRun,
    RestartRun,
    RunCommand,
    SetBreakpoints,
    SetVariables,
    StartRun,
    StepRun,
    UndrainHost,
)
from runplane.contract.debugging import Frame, scope_of
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.envelope import TYPES, Envelope
from runplane.contract.events import (
    AttemptFailed,
    BreakpointsSet,
    CheckpointRefused,
    CheckpointsPruned,
    CheckpointStored,
    CommandRejected,
    ConditionCleared,
    ConditionRaised,
    DiagnosisTaken,
    Event,
    ExpressionEvaluated,
    HostJoined,
    HostLeft,
    LeftoversFound,
    NotificationDelivered,
    NotificationFailed,
    OutcomeOverridden,
    ProcessExited,
    ProcessSpawned,
    ProgressReported,
    RecoveryStarted,
    ReportSetAside,
    RestartAccepted,
    RetryScheduled,
    RunAdmitted,
    RunCanceled,
    RunClaimed,
    RunCompleted,
    RunContinued,
    RunEvent,
    RunFailed,
    RunKilled,
    RunLost,
    RunPaused,
    RunReachable,
    RunTerminating,
    RunTimedOut,
    RunUnreachable,
    StepCompleted,
    StepFailed,
    StepStarted,
    SurvivorsFound,
    TerminationEscalated,
    TreeVerifiedGone,
    VariablesReported,
    VariablesSet,
    WorkflowApplied,
    WorkflowDeleted,
)
from runplane.contract.run import AgentRef, Condition, Exit, Failure, ProcessRef, Resumption, Status, Survivor
from runplane.contract.spec import Breakpoint
from runplane.contract.workflow import WorkflowDefinition
from runplane.core.decide import Rejection, decide
from runplane.core.fold import apply
from runplane.core.state import RunState
from runplane.core.status import NEUTRAL, TABLE
from tests.records import HOST, OTHER_RUN, RUN, SPEC, claim, folded, receipt, record, spawned

moments = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside
words = st.text(st.characters(codec="utf-8"), max_size=8)
maybe_words = st.none() | words
seconds = st.floats(0, 1e6, allow_nan=False)
attempts = st.sampled_from([1, 1, 1, 1, 2])
hosts = st.sampled_from([HOST, HOST, HOST, HOST, "h2"])
run_ids = st.sampled_from([RUN, RUN, RUN, RUN, OTHER_RUN])
outcomes = st.sampled_from(["completed", "failed"])
json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(words, json_values, max_size=3)
specs = st.builds(
    lambda params, host, grace: SPEC.model_copy(
        update={
            "params": params,
            "host": host,
            "kill": SPEC.kill.model_copy(update={"grace": grace}),
        }
    ),
    json_objects,
    st.sampled_from([None, None, None, HOST, "h2"]),
    st.floats(0, 100),
)
failures = st.builds(Failure, kind=words, message=words)
exits = st.none() | st.builds(
    Exit, code=st.none() | st.integers(0, 255), signal=st.none() | st.just("SIGKILL")
)
processes = st.builds(ProcessRef, boot_id=words, pid=st.integers(1, 9), start_time=st.integers(0, 9))
survivors = st.lists(
    st.builds(Survivor, pid=st.integers(1, 9), start_time=st.integers(0, 9), cmdline=words, why=words),
    max_size=3,
).map(tuple)
receipts = st.builds(
    lambda verified, left, reason: receipt(verified=verified, survivors=left, reason=reason),
    st.sampled_from([True, True, False]),
    st.just(()) | survivors,
    maybe_words,
)
conditions = st.builds(
    Condition,
    type=st.sampled_from(["stuck", "survivors", "other"]),
    since=moments,
    detail=words,
    evidence=json_values,
)
verified_by = st.just(("cgroup",)) | st.just(())
breakpoints = st.lists(st.builds(Breakpoint, location=words, condition=maybe_words), max_size=2).map(tuple)
scope_names = st.sampled_from(["inputs", "variables", "locals", "other"])
scopes = st.lists(st.builds(scope_of, scope_names, json_objects), max_size=2).map(tuple)
frames = st.lists(st.builds(Frame, function=words, file=words, line=st.integers(1, 9)), max_size=2).map(tuple)
purposes = st.sampled_from(["kill", "restart", "force_complete", "timeout", "limit", "stuck", "disconnect"])
endings = st.sampled_from(["failed", "stuck", "timed_out", "lost"])

COMMANDS: dict[type[Command], SearchStrategy[Any]] = {
    StartRun: st.builds(
        StartRun,
        run_id=run_ids,
        spec=specs,
        attempt=attempts,
        resume=st.none() | st.builds(Resumption, digest=words, origin=run_ids, steps=st.integers(0, 9)),
    ),
    EndAttempt: st.builds(EndAttempt, run_id=run_ids, attempt=attempts, ending=endings, failure=failures),
    DecideRun: st.builds(
        DecideRun,
        run_id=run_ids,
        decision=st.sampled_from(["retry", "resume", "restart", "give_up"]),
        reason=maybe_words,
    ),
    KillRun: st.builds(
        KillRun,
        run_id=run_ids,
        reason=maybe_words,
        force=st.booleans(),
        grace_seconds=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        expires_at=st.none() | moments,
    ),
    RestartRun: st.builds(
        RestartRun,
        run_id=run_ids,
        new_run_id=run_ids,
        spec=specs,
        reason=maybe_words,
        force=st.booleans(),
        grace_seconds=st.none() | seconds,
        expires_at=st.none() | moments,
    ),
    ForceCompleteRun: st.builds(
        ForceCompleteRun,
        run_id=run_ids,
        outcome=outcomes,
        reason=maybe_words,
        detach=st.booleans(),
        replace=st.booleans(),
        expires_at=st.none() | moments,
    ),
    PauseRun: st.builds(PauseRun, run_id=run_ids, reason=maybe_words),
    ContinueRun: st.builds(ContinueRun, run_id=run_ids, reason=maybe_words),
    StepRun: st.builds(StepRun, run_id=run_ids, mode=st.sampled_from(["over", "into", "out"])),
    SetBreakpoints: st.builds(
        SetBreakpoints,
        run_id=run_ids,
        breakpoints=breakpoints,
    ),
    SetVariables: st.builds(SetVariables, run_id=run_ids, values=json_objects, scope=st.none() | scope_names),
    EvaluateExpression: st.builds(EvaluateExpression, run_id=run_ids, expression=words),
    DiagnoseRun: st.builds(DiagnoseRun, run_id=run_ids),
    DrainHost: st.builds(DrainHost, host=hosts, kill_runs=st.booleans(), reason=maybe_words),
    UndrainHost: st.builds(UndrainHost, host=hosts, reason=maybe_words),
}
EVENTS: dict[type[Event], SearchStrategy[Any]] = {
    RunClaimed: st.builds(RunClaimed, host=hosts, attempt=attempts, boot_id=words, agent_id=words),
    ProcessSpawned: st.builds(ProcessSpawned, main=processes, shim=processes, mechanism=words),
    ProgressReported: st.builds(
        ProgressReported, done=st.none() | seconds, total=st.none() | seconds, message=maybe_words
    ),
    StepStarted: st.builds(StepStarted, name=words, index=st.integers(), key=maybe_words, inputs=json_values),
    StepCompleted: st.builds(
        StepCompleted, name=words, index=st.integers(), key=maybe_words, result=json_values
    ),
    StepFailed: st.builds(StepFailed, name=words, index=st.integers(), key=maybe_words, error=words),
    ReportSetAside: st.builds(ReportSetAside, count=st.integers(), first_line=st.integers(), why=words),
    RunPaused: st.builds(
        RunPaused,
        at=maybe_words,
        by=maybe_words,
        reason=maybe_words,
        processes=st.none() | st.integers(1, 99),
        scopes=scopes,
        stack=frames,
        stop=st.none() | st.integers(1, 9),
    ),
    RunContinued: st.builds(
        RunContinued,
        by=maybe_words,
        held_seconds=st.none() | st.floats(0, 1e6),
        until=st.sampled_from([None, None, "boundary", "over", "into", "out"]),
    ),
    BreakpointsSet: st.builds(BreakpointsSet, breakpoints=breakpoints),
    VariablesReported: st.builds(VariablesReported, values=json_objects),
    ExpressionEvaluated: st.builds(ExpressionEvaluated, expression=words, error=maybe_words),
    VariablesSet: st.builds(VariablesSet, scope=scope_names, values=json_objects, before=json_objects),
    ConditionRaised: st.builds(ConditionRaised, condition=conditions),
    ConditionCleared: st.builds(ConditionCleared, type=st.sampled_from(["stuck", "survivors", "other"])),
    DiagnosisTaken: st.builds(
        DiagnosisTaken,
        diagnosis=st.builds(
            Diagnosis,
            run_id=run_ids,
            workflow=words,
            status=st.sampled_from(Status),
            sentence=words,
            condition=st.none() | conditions,
            stdout=st.lists(words, max_size=2).map(tuple),
            taken_at=moments,
        ),
    ),
    RunTerminating: st.builds(
        RunTerminating,
        purpose=purposes,
        method=st.sampled_from(["graceful", "force"]),
        grace_seconds=seconds,
        reason=maybe_words,
        outcome=st.none() | outcomes,
    ),
    TerminationEscalated: st.builds(TerminationEscalated, reason=maybe_words),
    ProcessExited: st.builds(ProcessExited, exit=exits),
    LeftoversFound: st.builds(LeftoversFound, processes=survivors, policy=st.sampled_from(["end", "wait"])),
    SurvivorsFound: st.builds(SurvivorsFound, survivors=survivors),
    TreeVerifiedGone: st.builds(TreeVerifiedGone, verified_by=verified_by, receipt=st.none() | receipts),
    AttemptFailed: st.builds(
        AttemptFailed,
        ending=endings,
        failure=failures,
        next=st.sampled_from(["attempt", "attempt", "decision"]),
        resume=st.booleans(),
        delay_seconds=seconds,
        receipt=st.none() | receipts,
    ),
    RunAdmitted: st.builds(RunAdmitted, group=words),
    RetryScheduled: st.builds(
        RetryScheduled, attempt=attempts, at=moments, resume=st.booleans(), why=words, slowed=st.booleans()
    ),
    CheckpointStored: st.builds(
        CheckpointStored, digest=words, number=st.integers(1, 9), bytes=st.integers(0, 9)
    ),
    CheckpointRefused: st.builds(CheckpointRefused, number=st.integers(1, 9), why=words),
    CheckpointsPruned: st.builds(CheckpointsPruned, digests=st.lists(words, max_size=2).map(tuple)),
    RecoveryStarted: st.builds(RecoveryStarted, run_id=run_ids, workflow=words),
    RunCompleted: st.builds(RunCompleted),
    RunFailed: st.builds(RunFailed, failure=failures),
    RunKilled: st.builds(RunKilled, receipt=receipts),
    RunCanceled: st.builds(RunCanceled, reason=maybe_words),
    RunTimedOut: st.builds(RunTimedOut, failure=failures, receipt=st.none() | receipts),
    RunLost: st.builds(RunLost, failure=failures),
    RunUnreachable: st.builds(RunUnreachable, host=hosts),
    RunReachable: st.builds(RunReachable, host=hosts),
    OutcomeOverridden: st.builds(
        OutcomeOverridden,
        outcome=outcomes,
        reason=maybe_words,
        observed=words,
        detached=st.booleans(),
        replaced=st.booleans(),
        receipt=st.none() | receipts,
    ),
    RestartAccepted: st.builds(RestartAccepted, new_run_id=run_ids, reason=maybe_words),
    CommandRejected: st.builds(
        CommandRejected, command=words, code=words, message=words, detail=json_objects
    ),
    NotificationDelivered: st.builds(
        NotificationDelivered,
        notification_id=words,
        target=words,
        about=words,
        attempts=st.integers(1, 9),
        status=st.none() | st.integers(100, 599),
    ),
    NotificationFailed: st.builds(
        NotificationFailed,
        notification_id=words,
        target=words,
        about=words,
        attempts=st.integers(1, 9),
        status=st.none() | st.integers(100, 599),
        error=words,
    ),
    HostJoined: st.builds(
        HostJoined,
        host=hosts,
        agent_id=words,
        boot_id=words,
        agent=st.none()
        | st.builds(
            AgentRef,
            agent_id=words,
            installation=words,
            boot_id=words,
            pid=st.integers(1, 2**22),
            machine=words,
            home=words,
        ),
        pools=st.just(("default",)),
        slots=st.integers(0, 9),
        version=words,
        platform=words,
        cpus=st.integers(1, 9),
        memory_bytes=st.integers(0, 2**40),
        mechanism=words,
    ),
    HostLeft: st.builds(HostLeft, host=hosts, agent_id=words),
    WorkflowApplied: st.builds(
        WorkflowApplied,
        definition=st.builds(
            WorkflowDefinition, name=st.just("lina"), command=st.just(("python", "lina.py"))
        ),
        version=st.integers(1, 9),
        digest=words,
    ),
    WorkflowDeleted: st.builds(WorkflowDeleted, name=words),
}
assert {kind.__name__ for kind in (*COMMANDS, *EVENTS)} == set(TYPES), "a record type without a strategy"

any_data = st.one_of(*COMMANDS.values(), *EVENTS.values())
run_commands: SearchStrategy[RunCommand] = st.one_of(
    *(strategy for kind, strategy in COMMANDS.items() if kind not in {DrainHost, UndrainHost})
)
run_events: SearchStrategy[RunEvent] = st.one_of(
    *(s for kind, s in EVENTS.items() if kind not in {HostJoined, HostLeft, WorkflowApplied, WorkflowDeleted})
)


@st.composite
def envelopes(draw: DrawFn, data: SearchStrategy[Any] = any_data) -> Envelope:
    """A record of any type, on the subject of a run, of a host or of the plane."""
    return record(
        draw(data),
        run_id=draw(st.sampled_from([RUN, RUN, RUN, RUN, RUN, OTHER_RUN, "host"])),
        host=draw(st.none() | hosts),
        attempt=draw(st.none() | attempts),
        time=draw(moments),
        principal=draw(words),
        command_id=draw(st.none() | st.just("c" * 32)),
    )


_ENDINGS = frozenset(
    {"OutcomeOverridden", "RunKilled", "RunLost", "RunFailed", "RunTimedOut", "RunCompleted", "RunCanceled"}
)


@st.composite
def stories(draw: DrawFn, *, max_size: int = 20) -> list[Envelope]:
    """One run's records as they would really come: orders, what they decide, facts that fit, and some garbage."""
    beginning = [record(StartRun(run_id=RUN, spec=draw(specs))), claim(), spawned()]
    records = beginning[: draw(st.sampled_from([3, 3, 3, 3, 3, 3, 2, 1, 0]))]
    state = folded(*records)
    for _ in range(draw(st.integers(0, max_size))):
        for envelope in draw(_next(state)):
            records.append(envelope)
            state = apply(state, envelope, len(records))
    return records


@st.composite
def _next(draw: DrawFn, state: RunState) -> list[Envelope]:
    kind = draw(st.sampled_from(["fact"] * 9 + ["move"] * 9 + ["order"] * 4 + ["ending", "garbage"]))
    if kind == "garbage" or state.run is None:
        return [draw(envelopes())]
    if kind == "order":
        command = draw(run_commands)
        decision = decide(state, command, draw(moments))
        events = () if isinstance(decision, Rejection) else decision
        return [record(command), *(_by_owner(state, event) for event in events)]
    moves = [event for event in EVENTS if event.__name__ in TABLE[state.run.status]]
    fitting = {
        "fact": [event for event in EVENTS if event.__name__ in NEUTRAL],
        "move": [event for event in moves if event.__name__ not in _ENDINGS],
        "ending": [event for event in moves if event.__name__ in _ENDINGS],
    }[kind]
    if not fitting:
        return []
    return [_by_owner(state, draw(EVENTS[draw(st.sampled_from(fitting))]))]


def _by_owner(state: RunState, data: RunEvent) -> Envelope:
    run = state.run
    if isinstance(data, RunClaimed):
        return record(data, host=data.host, attempt=data.attempt)
    if run is None or run.attempt == 0 or run.status is Status.UNREACHABLE:
        return record(data)
    return record(data, host=run.host, attempt=run.attempt)
