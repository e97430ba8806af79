"""``decide`` answers every order to every run, and what it answers can be true."""

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runplane.contract.commands import (
    ContinueRun,
    DiagnoseRun,
    ForceCompleteRun,
    KillRun,
    PauseRun,
    RestartRun,
    RunCommand,
    SetBreakpoints,
    SetVariables,
    StartRun,
    StepRun,
)
from runplane.contract.debugging import scope_of
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    BreakpointsSet,
    OutcomeOverridden,
    RestartAccepted,
    RunCanceled,
    RunCompleted,
    RunContinued,
    RunFailed,
    RunKilled,
    RunLost,
    RunPaused,
    RunTerminating,
    RunTimedOut,
    RunUnreachable,
    TerminationEscalated,
    VariablesSet,
)
from runplane.contract.run import Failure, Status
from runplane.contract.spec import Breakpoint
from runplane.core.decide import Decision, Rejection, decide, grace_of, owner
from runplane.core.fold import initial
from runplane.core.state import RunState
from tests.records import (
    HOST,
    NOON,
    OTHER_RUN,
    RUN,
    SPEC,
    claim,
    folded,
    on_host,
    receipt,
    record,
    spawned,
    start,
)
from tests.strategies import COMMANDS, moments, run_commands, stories

FAILURE = Failure(kind="exit", message="exit code 1")
KILLING = RunTerminating(purpose="kill", method="graceful", grace_seconds=10)
DECLARING = RunTerminating(purpose="force_complete", method="graceful", grace_seconds=10, outcome="failed")
_ALIVE = [start(), claim(), spawned()]
IN_STATUS: dict[Status, RunState] = {
    Status.PENDING: folded(start()),
    Status.STARTING: folded(start(), claim()),
    Status.RUNNING: folded(*_ALIVE),
    Status.PAUSED: folded(*_ALIVE, on_host(RunPaused())),
    Status.TERMINATING: folded(*_ALIVE, on_host(KILLING)),
    Status.UNREACHABLE: folded(*_ALIVE, record(RunUnreachable(host=HOST))),
    Status.COMPLETED: folded(*_ALIVE, on_host(RunCompleted())),
    Status.FAILED: folded(*_ALIVE, on_host(RunFailed(failure=FAILURE))),
    Status.KILLED: folded(*_ALIVE, on_host(RunKilled(receipt=receipt()))),
    Status.CANCELED: folded(start(), record(RunCanceled())),
    Status.TIMED_OUT: folded(*_ALIVE, on_host(RunTimedOut(failure=FAILURE))),
    Status.LOST: folded(*_ALIVE, record(RunLost(failure=FAILURE))),
}
DECLARED = folded(*_ALIVE, on_host(DECLARING))


def story_of(state: RunState, decision: Decision) -> list[Envelope]:
    """The decided events as whoever decides would publish them."""
    assert not isinstance(decision, Rejection)
    attempt = state.run.attempt if state.run else None
    return [record(event, host=owner(state), attempt=attempt) for event in decision]


def events(state: RunState, command: RunCommand) -> tuple[type, ...]:
    decision = decide(state, command, NOON)
    assert not isinstance(decision, Rejection), decision.message
    return tuple(type(event) for event in decision)


def refusal(state: RunState, command: RunCommand) -> str:
    decision = decide(state, command, NOON)
    assert isinstance(decision, Rejection)
    return decision.code


def test_the_states_are_in_their_statuses() -> None:
    assert {status: state.status for status, state in IN_STATUS.items()} == {
        status: status for status in Status
    }


@pytest.mark.parametrize("kind", get_args(RunCommand), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("status", Status)
@settings(max_examples=10)
@given(data=st.data())
def test_it_answers_every_order_in_every_status_with_facts_that_can_be_true(
    status: Status, kind: type[RunCommand], data: st.DataObject
) -> None:
    state = IN_STATUS[status]
    decision = decide(state, data.draw(COMMANDS[kind]), data.draw(moments))

    if isinstance(decision, Rejection):
        assert decision.code
        assert decision.message
        return
    after = folded(*story_of(state, decision), onto=state, first_seq=100)
    assert after.anomalies == state.anomalies


@given(stories(), run_commands, moments)
def test_whatever_is_decided_of_any_story_is_no_anomaly(
    records: list[Envelope], command: RunCommand, now: datetime
) -> None:
    state = folded(*records)
    decision = decide(state, command, now)

    if isinstance(decision, Rejection):
        return
    after = folded(*story_of(state, decision), onto=state, first_seq=1000)
    assert after.anomalies == state.anomalies
    assert (after.run and after.run.anomalies) == (state.run and state.run.anomalies)


@given(stories(), run_commands)
def test_the_same_order_again_decides_nothing_new_or_is_refused(
    records: list[Envelope], command: RunCommand
) -> None:
    state = folded(*records)
    first = decide(state, command, NOON)
    if isinstance(first, Rejection):
        return
    after = folded(*story_of(state, first), onto=state, first_seq=1000)

    again = decide(after, command, NOON)

    assert isinstance(again, Rejection) or again == ()


def test_an_order_about_no_run_is_refused_unless_it_starts_one() -> None:
    assert events(initial(), StartRun(run_id=RUN, spec=SPEC)) == ()
    assert refusal(initial(), KillRun(run_id=RUN)) == "unknown_run"


def test_a_run_is_started_once() -> None:
    assert events(IN_STATUS[Status.PENDING], StartRun(run_id=RUN, spec=SPEC)) == ()
    assert refusal(IN_STATUS[Status.RUNNING], StartRun(run_id=RUN, spec=SPEC)) == "already_started"


@pytest.mark.parametrize(
    ("status", "decided"),
    [
        (Status.PENDING, (RunCanceled,)),
        (Status.STARTING, (RunTerminating,)),
        (Status.RUNNING, (RunTerminating,)),
        (Status.PAUSED, (RunTerminating,)),
        (Status.UNREACHABLE, (RunTerminating,)),
        (Status.TERMINATING, ()),
    ],
)
def test_a_kill_ends_whatever_is_open(status: Status, decided: tuple[type, ...]) -> None:
    assert events(IN_STATUS[status], KillRun(run_id=RUN)) == decided


@pytest.mark.parametrize("status", [status for status in Status if status.ended])
def test_a_kill_of_an_ended_run_is_refused(status: Status) -> None:
    assert refusal(IN_STATUS[status], KillRun(run_id=RUN)) == "already_ended"


def test_force_cuts_a_grace_short_once() -> None:
    terminating = IN_STATUS[Status.TERMINATING]
    force = KillRun(run_id=RUN, force=True)
    assert events(terminating, force) == (TerminationEscalated,)

    escalated = folded(on_host(TerminationEscalated()), onto=terminating, first_seq=50)
    assert events(escalated, force) == ()


def test_a_forced_restart_cuts_the_grace_of_a_kill_short() -> None:
    restart = RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC, force=True)

    assert events(IN_STATUS[Status.TERMINATING], restart) == (RestartAccepted, TerminationEscalated)


def test_an_order_is_good_until_it_expires() -> None:
    running = IN_STATUS[Status.RUNNING]
    assert refusal(running, KillRun(run_id=RUN, expires_at=NOON)) == "expired"
    assert events(running, KillRun(run_id=RUN, expires_at=NOON + timedelta(seconds=1))) == (RunTerminating,)


@pytest.mark.parametrize(
    ("status", "decided"),
    [
        (Status.PENDING, (RunCanceled, RestartAccepted)),
        (Status.RUNNING, (RestartAccepted, RunTerminating)),
        (Status.TERMINATING, (RestartAccepted,)),
        (Status.COMPLETED, (RestartAccepted,)),
        (Status.LOST, (RestartAccepted,)),
    ],
)
def test_a_restart_ends_what_is_alive_first(status: Status, decided: tuple[type, ...]) -> None:
    assert events(IN_STATUS[status], RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC)) == decided


def test_a_second_restart_is_refused_and_names_the_first() -> None:
    state = folded(
        record(RestartAccepted(new_run_id=OTHER_RUN)), onto=IN_STATUS[Status.COMPLETED], first_seq=9
    )
    command = RestartRun(run_id=RUN, new_run_id="run_00000000000c", spec=SPEC)

    decision = decide(state, command, NOON)

    assert isinstance(decision, Rejection)
    assert (decision.code, decision.detail) == ("already_restarted", {"new_run_id": OTHER_RUN})
    assert "restart that one" in decision.message


def test_the_same_restart_again_changes_nothing() -> None:
    state = folded(
        record(RestartAccepted(new_run_id=OTHER_RUN)), onto=IN_STATUS[Status.COMPLETED], first_seq=9
    )

    assert events(state, RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC)) == ()


def test_an_outcome_is_declared_at_once_where_nothing_has_to_be_ended() -> None:
    declare = ForceCompleteRun(run_id=RUN)
    assert events(IN_STATUS[Status.PENDING], declare) == (OutcomeOverridden,)
    assert events(IN_STATUS[Status.RUNNING], declare) == (RunTerminating,)
    assert events(IN_STATUS[Status.RUNNING], declare.model_copy(update={"detach": True})) == (
        OutcomeOverridden,
    )


def test_an_outcome_declared_of_an_absent_host_keeps_that_it_was_away() -> None:
    decision = decide(IN_STATUS[Status.UNREACHABLE], ForceCompleteRun(run_id=RUN), NOON)

    assert not isinstance(decision, Rejection)
    assert isinstance(decision[0], OutcomeOverridden)
    assert decision[0].observed.startswith("host h1 was not heard from")


def test_an_outcome_declared_during_a_kill_gives_the_end_its_purpose() -> None:
    decision = decide(IN_STATUS[Status.TERMINATING], ForceCompleteRun(run_id=RUN, outcome="completed"), NOON)

    assert not isinstance(decision, Rejection)
    assert isinstance(decision[0], RunTerminating)
    assert (decision[0].purpose, decision[0].outcome) == ("force_complete", "completed")


def test_another_outcome_than_the_declared_one_needs_replace() -> None:
    assert events(DECLARED, ForceCompleteRun(run_id=RUN, outcome="failed")) == ()
    assert refusal(DECLARED, ForceCompleteRun(run_id=RUN, outcome="completed")) == "already_declared"
    replace = ForceCompleteRun(run_id=RUN, outcome="completed", replace=True)
    assert events(DECLARED, replace) == (RunTerminating,)


def test_an_ended_run_keeps_its_outcome_unless_it_is_replaced() -> None:
    killed = IN_STATUS[Status.KILLED]
    assert refusal(killed, ForceCompleteRun(run_id=RUN, outcome="completed")) == "already_ended"
    replace = ForceCompleteRun(run_id=RUN, outcome="completed", replace=True)
    decision = decide(killed, replace, NOON)
    assert decision == (
        OutcomeOverridden(outcome="completed", observed="had ended as killed", replaced=True),
    )

    declared = folded(record(decision[0]), onto=killed, first_seq=50)
    assert events(declared, ForceCompleteRun(run_id=RUN, outcome="completed")) == ()


@pytest.mark.parametrize("status", list(Status))
def test_a_diagnosis_needs_processes(status: Status) -> None:
    decision = decide(IN_STATUS[status], DiagnoseRun(run_id=RUN), NOON)

    if status.ended or status is Status.PENDING:
        assert isinstance(decision, Rejection)
        assert (decision.code, str(status) in decision.message) == ("no_processes", True)
    else:
        assert decision == ()


@pytest.mark.parametrize("status", list(Status))
def test_only_a_held_run_is_stepped(status: Status) -> None:
    decision = decide(IN_STATUS[status], StepRun(run_id=RUN, mode="into"), NOON)

    if status is Status.PAUSED:
        assert decision == (RunContinued(until="boundary"),)
    else:
        assert isinstance(decision, Rejection)
        assert (decision.code, f"runplane pause {RUN}" in decision.message) == ("not_paused", True)


@pytest.mark.parametrize("status", list(Status))
def test_breakpoints_are_set_until_the_end_begins(status: Status) -> None:
    points = (Breakpoint(location="step:plan"),)
    decision = decide(IN_STATUS[status], SetBreakpoints(run_id=RUN, breakpoints=points), NOON)

    if status.ended or status is Status.TERMINATING:
        assert isinstance(decision, Rejection)
        assert (decision.code, str(status) in decision.message) == ("already_ended", True)
    else:
        assert decision == (BreakpointsSet(breakpoints=points),)
    assert decide(IN_STATUS[Status.RUNNING], SetBreakpoints(run_id=RUN), NOON) == ()


_SCOPES = (scope_of("inputs", {"n": 1}), scope_of("variables", {"n": 2, "limit": 3}))
HELD = folded(*_ALIVE, on_host(RunPaused(at="step:plan", scopes=_SCOPES)))


def test_variables_are_changed_in_the_first_scope_that_has_all_of_them() -> None:
    def set_of(scope: str | None = None, **values: Any) -> Decision:
        return decide(HELD, SetVariables(run_id=RUN, values=values, scope=scope), NOON)

    assert set_of(n=5) == (VariablesSet(scope="inputs", values={"n": 5}, before={"n": 1}),)
    assert set_of("variables", n=5) == (VariablesSet(scope="variables", values={"n": 5}, before={"n": 2}),)
    both = VariablesSet(scope="variables", values={"n": 5, "limit": 6}, before={"n": 2, "limit": 3})
    assert set_of(n=5, limit=6) == (both,)


@pytest.mark.parametrize(
    ("scope", "values", "code", "said"),
    [
        (None, {"m": 1}, "variable_not_found", "variables: n, limit"),
        (None, {"n": 1, "m": 1}, "variable_not_found", "'m'"),
        ("inputs", {"limit": 1}, "variable_not_found", "'limit'"),
        ("locals", {"n": 1}, "scope_not_found", "inputs, variables"),
    ],
)
def test_what_is_not_shown_cannot_be_changed(
    scope: str | None, values: dict[str, Any], code: str, said: str
) -> None:
    decision = decide(HELD, SetVariables(run_id=RUN, values=values, scope=scope), NOON)

    assert isinstance(decision, Rejection)
    assert (decision.code, said in decision.message) == (code, True)


@pytest.mark.parametrize("status", list(Status))
def test_variables_are_changed_at_a_breakpoint_only(status: Status) -> None:
    decision = decide(IN_STATUS[status], SetVariables(run_id=RUN, values={"n": 1}), NOON)

    assert isinstance(decision, Rejection)
    assert decision.code == "not_held"


@pytest.mark.parametrize("status", Status)
def test_a_running_run_is_paused_and_a_paused_one_goes_on(status: Status) -> None:
    state = IN_STATUS[status]
    paused = decide(state, PauseRun(run_id=RUN, reason="look"), NOON)
    continued = decide(state, ContinueRun(run_id=RUN), NOON)

    if status is Status.RUNNING:
        assert paused == (RunPaused(reason="look"),)
    elif status is Status.PAUSED:
        assert paused == ()
    else:
        assert isinstance(paused, Rejection)
        assert (paused.code, str(status) in paused.message) == ("not_running", True)
    if status is Status.PAUSED:
        assert continued == (RunContinued(),)
    else:
        assert isinstance(continued, Rejection)
        assert (continued.code, str(status) in continued.message) == ("not_paused", True)


def test_the_grace_is_the_orders_or_else_the_workflows() -> None:
    running = IN_STATUS[Status.RUNNING]
    assert grace_of(running, None) == SPEC.kill.grace
    assert grace_of(running, 0.5) == 0.5
    assert grace_of(running, -3) == 0.0


@pytest.mark.parametrize(
    ("status", "host"),
    [
        (Status.PENDING, None),
        (Status.STARTING, HOST),
        (Status.RUNNING, HOST),
        (Status.TERMINATING, HOST),
        (Status.UNREACHABLE, HOST),
        (Status.COMPLETED, None),
    ],
)
def test_who_holds_the_run_decides(status: Status, host: str | None) -> None:
    assert owner(IN_STATUS[status]) == host
    assert owner(IN_STATUS[status], KillRun(run_id=RUN)) == host


def test_the_plane_declares_the_outcome_of_a_run_whose_host_is_away() -> None:
    assert owner(IN_STATUS[Status.UNREACHABLE], ForceCompleteRun(run_id=RUN)) is None
