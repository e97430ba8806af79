"""Attempts, leases and late facts: no order in which they are told gives two winners."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    AttemptFailed,
    CheckpointStored,
    ProcessExited,
    ProcessSpawned,
    ProgressReported,
    RetryScheduled,
    RunClaimed,
    RunCompleted,
    RunFailed,
    RunReachable,
    RunTerminating,
    RunUnreachable,
    StepCompleted,
    TreeVerifiedGone,
)
from runplane.contract.run import Exit, Failure, Run, Status
from runplane.core.fold import apply, initial
from runplane.core.state import RunState
from tests.records import NOON, PROCESS, RUN, SPEC, claim, record, start

FAILURE = Failure(kind="host_lost", message="m")
HOSTS = ("h1", "h2", "h3")
OF_A_HOST: list[Any] = [
    ProcessSpawned(main=PROCESS, shim=PROCESS, mechanism="cgroup"),
    ProgressReported(done=1, total=2),
    StepCompleted(name="plan", index=0, key="plan#0", result=1),
    CheckpointStored(digest="c1", number=1, bytes=1),
    RunTerminating(purpose="disconnect", method="graceful", grace_seconds=1.0, failure=FAILURE),
    ProcessExited(exit=Exit(code=0)),
    TreeVerifiedGone(verified_by=("cgroup",)),
    AttemptFailed(ending="lost", failure=FAILURE, next="attempt"),
    RunCompleted(),
    RunFailed(failure=FAILURE),
]
TOLD_LATE = (ProcessExited, TreeVerifiedGone)


def of_the_plane(number: int, host: str) -> list[Envelope]:
    return [
        record(RunUnreachable(host=host, since=NOON)),
        record(RunReachable(host=host)),
        record(AttemptFailed(ending="lost", failure=FAILURE, next="attempt"), attempt=number),
        record(RetryScheduled(attempt=number + 1, at=NOON)),
        record(StartRun(run_id=RUN, spec=SPEC, attempt=number + 1)),
    ]


@st.composite
def fleets(draw: st.DrawFn) -> list[Envelope]:
    """What three hosts and the control plane may say of one run, each in its own order or in none, woven together."""
    voices: list[list[Envelope]] = []
    for number, host in enumerate(HOSTS, 1):
        facts = draw(st.lists(st.sampled_from(OF_A_HOST), min_size=2, max_size=8))
        told = [claim(host, number), *(record(fact, host=host, attempt=number) for fact in facts)]
        voices += [told, draw(st.lists(st.sampled_from(of_the_plane(number, host)), max_size=4))]
        # A host that claims an attempt that is another's by now.
        voices.append([claim(host, draw(st.integers(1, 3)))])
    voices = [one for one in voices if one]
    woven = [start()]
    while voices:
        voice = draw(st.sampled_from(voices))
        woven.append(voice.pop(0))
        voices = [one for one in voices if one]
    return woven


def states(records: list[Envelope]) -> list[tuple[Envelope, RunState, RunState]]:
    """Every record, with the state before it and after it."""
    found = []
    state = initial()
    for seq, one in enumerate(records, 1):
        before, state = state, apply(state, one, seq)
        found.append((one, before, state))
    return found


def run_of(state: RunState) -> Run:
    assert state.run is not None
    return state.run


@given(fleets())
def test_one_attempt_is_under_way_at_most_and_they_are_counted_without_a_gap(records: list[Envelope]) -> None:
    for _, _, state in states(records):
        run = run_of(state)
        assert [one.attempt for one in run.attempts] == list(range(1, len(run.attempts) + 1))
        assert run.attempt == len(run.attempts)
        assert all(one.ended_at is not None for one in run.attempts[:-1])
        if run.status in (Status.STARTING, Status.RUNNING, Status.TERMINATING, Status.UNREACHABLE):
            assert run.host == run.attempts[-1].host


@given(fleets())
def test_a_claim_is_believed_only_of_a_run_that_nobody_holds(records: list[Envelope]) -> None:
    for one, before, state in states(records):
        if isinstance(one.data, RunClaimed) and run_of(state).attempt != (
            before.run.attempt if before.run else 0
        ):
            assert before.run is not None
            assert before.run.status is Status.PENDING
            assert one.data.attempt == before.run.attempt + 1


@given(fleets())
def test_one_ending_wins_and_it_is_that_of_the_attempt_under_way(records: list[Envelope]) -> None:
    winners = []
    for one, before, state in states(records):
        if before.run is None:
            continue
        if state.status is not None and state.status.ended and not before.run.status.ended:
            winners.append(one)
            assert one.host in (None, before.run.host)
            assert one.attempt in (None, before.run.attempt)
        if before.run.status.ended:
            assert state.status is before.run.status
            assert run_of(state).failure == before.run.failure
    assert len(winners) <= 1


@given(fleets())
def test_what_a_host_says_of_an_attempt_that_was_left_behind_changes_its_record_alone(
    records: list[Envelope],
) -> None:
    for one, before, state in states(records):
        if before.run is None or one.host is None or isinstance(one.data, RunClaimed):
            continue
        over = before.run.attempt_over and one.attempt == before.run.attempt and not before.run.status.ended
        if one.attempt is None or (one.attempt == before.run.attempt and not over):
            continue
        assert run_of(state).model_copy(update={"attempts": (), "anomalies": 0, "seq": 0}) == (
            before.run.model_copy(update={"attempts": (), "anomalies": 0, "seq": 0})
        )
        if not isinstance(one.data, TOLD_LATE):
            assert run_of(state).attempts == before.run.attempts
        for earlier, later in zip(before.run.attempts, run_of(state).attempts, strict=True):
            if later.attempt != one.attempt:
                assert later == earlier


@given(fleets())
def test_a_run_that_waits_for_its_next_attempt_has_nothing_under_way(records: list[Envelope]) -> None:
    for _, _, state in states(records):
        run = run_of(state)
        if run.status is Status.PENDING and run.attempts:
            assert run.attempts[-1].ended_at is not None
            assert run.next_attempt is None or run.next_attempt.attempt == run.attempt + 1
            assert (run.step, run.held, state.termination) == (None, None, None)
