"""What records say of a run beside its status."""

from runplane.contract.events import (
    ConditionCleared,
    ConditionRaised,
    LeftoversFound,
    OutcomeOverridden,
    ProcessExited,
    ProgressReported,
    RestartAccepted,
    RunCompleted,
    RunFailed,
    RunKilled,
    RunPaused,
    RunReachable,
    RunTerminating,
    RunUnreachable,
    StepCompleted,
    StepStarted,
    SurvivorsFound,
    TerminationEscalated,
    TreeVerifiedGone,
)
from runplane.contract.run import Condition, Exit, Failure, Run, Status, Survivor
from runplane.core.facts import MAX_CONDITIONS
from runplane.core.state import RunState
from tests.records import HOST, OTHER_RUN, at, claim, folded, on_host, receipt, record, spawned, start

RUNNING = folded(start(), claim(), spawned())
TERMINATING = RunTerminating(purpose="kill", method="graceful", grace_seconds=10, reason="stuck")
SURVIVOR = Survivor(pid=7, start_time=1, cmdline="sleep", why="in uninterruptible sleep")


def run_of(state: RunState) -> Run:
    assert state.run is not None
    assert state.anomalies == ()
    return state.run


def test_a_claim_names_the_host_and_opens_an_attempt() -> None:
    run = run_of(folded(start(), claim()))

    assert (run.status, run.host, run.attempt) == (Status.STARTING, HOST, 1)
    assert [attempt.host for attempt in run.attempts] == [HOST]


def test_progress_and_step_show_the_last_that_was_said() -> None:
    state = folded(
        on_host(ProgressReported(done=3, total=10, message="three")),
        on_host(StepStarted(name="plan", index=1), time=at(5)),
        onto=RUNNING,
        first_seq=4,
    )

    run = run_of(state)
    assert run.progress is not None
    assert (run.progress.done, run.progress.total, run.progress.message) == (3, 10, "three")
    assert run.step is not None
    assert (run.step.name, run.step.started_at) == ("plan", at(5))
    assert run_of(folded(on_host(StepCompleted(name="plan", index=1)), onto=state, first_seq=6)).step is None


def test_the_first_exit_of_an_attempt_stays() -> None:
    first, second = ProcessExited(exit=Exit(code=0)), ProcessExited(exit=Exit(signal="SIGKILL"))

    run = run_of(folded(on_host(first, time=at(1)), on_host(second, time=at(2)), onto=RUNNING, first_seq=4))

    assert run.exit == Exit(code=0)
    assert run.attempts[0].ended_at == at(1)


def test_a_further_order_changes_the_purpose_of_an_end_but_not_its_clock() -> None:
    declared = RunTerminating(
        purpose="force_complete", method="graceful", grace_seconds=99, outcome="completed"
    )

    state = folded(
        on_host(TERMINATING, time=at(1)),
        on_host(TerminationEscalated()),
        on_host(declared, time=at(2), principal="second"),
        onto=RUNNING,
        first_seq=4,
    )

    assert run_of(state).status is Status.TERMINATING
    assert state.termination is not None
    assert (state.termination.purpose, state.termination.outcome) == ("force_complete", "completed")
    assert (state.termination.since, state.termination.grace_seconds) == (at(1), 10)
    assert (state.termination.force, state.termination.requested_by) == (True, "second")


def test_survivors_are_named_until_the_tree_is_gone() -> None:
    state = folded(
        on_host(TERMINATING), on_host(SurvivorsFound(survivors=(SURVIVOR,))), onto=RUNNING, first_seq=4
    )
    assert run_of(state).status is Status.TERMINATING
    assert run_of(state).conditions[0].detail == "1 not gone: pid 7: in uninterruptible sleep"

    gone = folded(
        on_host(TreeVerifiedGone(verified_by=("cgroup",))),
        on_host(RunKilled(receipt=receipt())),
        onto=state,
        first_seq=6,
    )
    assert (run_of(gone).status, run_of(gone).conditions) == (Status.KILLED, ())
    assert run_of(gone).attempts[0].verified_by == ("cgroup",)


def test_leftovers_are_said_with_what_becomes_of_them() -> None:
    leftovers = LeftoversFound(processes=(SURVIVOR,), policy="wait")

    run = run_of(folded(on_host(leftovers), onto=RUNNING, first_seq=4))

    assert run.conditions[0].detail == "main process ended; 1 processes live on and are waited for: pid 7"


def test_a_condition_stands_once_until_it_is_cleared() -> None:
    raised = [on_host(ConditionRaised(condition=Condition(type="stuck", since=at(n)))) for n in (1, 2)]
    state = folded(*raised, onto=RUNNING, first_seq=4)
    assert [condition.since for condition in run_of(state).conditions] == [at(2)]

    assert run_of(folded(on_host(ConditionCleared(type="stuck")), onto=state, first_seq=6)).conditions == ()


def test_conditions_are_bounded() -> None:
    raised = [on_host(ConditionRaised(condition=Condition(type=f"t{n}", since=at(n)))) for n in range(50)]

    run = run_of(folded(*raised, onto=RUNNING, first_seq=4))

    assert [condition.type for condition in run.conditions] == [
        f"t{n}" for n in range(50 - MAX_CONDITIONS, 50)
    ]


def test_what_the_host_saw_while_it_was_away_counts() -> None:
    away = folded(start(), claim(), record(RunUnreachable(host=HOST)))
    assert away.status is Status.UNREACHABLE

    spawned_meanwhile = folded(spawned(), record(RunReachable(host=HOST)), onto=away, first_seq=4)
    assert run_of(spawned_meanwhile).status is Status.RUNNING

    paused = folded(spawned(), on_host(RunPaused()), record(RunReachable(host=HOST)), onto=away, first_seq=4)
    assert run_of(paused).status is Status.PAUSED


def test_a_host_that_is_back_finds_the_status_it_left() -> None:
    for status, fact in ((Status.PAUSED, RunPaused()), (Status.TERMINATING, TERMINATING)):
        state = folded(on_host(fact), record(RunUnreachable(host=HOST)), onto=RUNNING, first_seq=4)
        assert state.status is Status.UNREACHABLE
        assert run_of(folded(record(RunReachable(host=HOST)), onto=state, first_seq=6)).status is status


def test_an_order_that_overtakes_the_start_keeps_who_the_process_is() -> None:
    run = run_of(folded(start(), claim(), on_host(TERMINATING), spawned()))

    assert run.status is Status.TERMINATING
    assert run.attempts[0].main is not None


def test_a_detached_tree_may_end_after_its_run() -> None:
    override = OutcomeOverridden(outcome="completed", observed="detached while running", detached=True)
    state = folded(record(override, host=HOST), onto=RUNNING, first_seq=4)
    assert run_of(state).attempts[0].ended_at is None

    run = run_of(folded(on_host(ProcessExited(exit=Exit(code=3)), time=at(9)), onto=state, first_seq=5))

    assert (run.status, run.exit) == (Status.COMPLETED, Exit(code=3))
    assert run.attempts[0].ended_at == at(9)


def test_a_replacing_override_moves_an_ended_run_and_its_failure() -> None:
    failed = folded(on_host(RunFailed(failure=Failure(kind="exit", message="3"))), onto=RUNNING, first_seq=4)
    override = OutcomeOverridden(outcome="completed", observed="had ended as failed", replaced=True)

    run = run_of(folded(record(override, time=at(60)), onto=failed, first_seq=5))

    assert (run.status, run.failure) == (Status.COMPLETED, None)
    assert run.override is not None
    assert run.override.observed == "had ended as failed"
    assert run.ended_at != at(60)


def test_a_declared_failure_says_who_declared_it() -> None:
    override = OutcomeOverridden(outcome="failed", observed="no process had been started")

    run = run_of(folded(start(), record(override, principal="ada")))

    assert run.failure == Failure(kind="forced", message="declared failed by ada")


def test_the_first_restart_stays() -> None:
    first, second = RestartAccepted(new_run_id=OTHER_RUN), RestartAccepted(new_run_id="run_00000000000c")

    run = run_of(folded(on_host(first), on_host(second), onto=RUNNING, first_seq=4))

    assert run.restarted_as == OTHER_RUN


def test_every_ending_closes_step_conditions_and_attempt() -> None:
    run = run_of(
        folded(
            on_host(StepStarted(name="plan", index=1)),
            on_host(ConditionRaised(condition=Condition(type="stuck", since=at(1)))),
            on_host(RunCompleted(), time=at(9)),
            onto=RUNNING,
            first_seq=4,
        )
    )

    assert (run.step, run.conditions, run.ended_at) == (None, (), at(9))
    assert run.attempts[0].ended_at == at(9)
