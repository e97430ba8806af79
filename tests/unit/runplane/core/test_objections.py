"""What is held against a record: foreign, late, unproven, impossible."""

import pytest

from runplane.contract.commands import DrainHost, KillRun, RestartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    CommandRejected,
    OutcomeOverridden,
    ProcessExited,
    ProgressReported,
    RunClaimed,
    RunCompleted,
    RunFailed,
    RunKilled,
    RunUnreachable,
)
from runplane.contract.run import Exit, Failure, Status, Survivor
from runplane.core.state import RunState
from tests.records import HOST, OTHER_RUN, SPEC, claim, folded, on_host, receipt, record, spawned, start

RUNNING = folded(start(), claim(), spawned())
TERMINATED = folded(on_host(RunCompleted()), onto=RUNNING, first_seq=4)
PENDING = folded(start())
SURVIVOR = Survivor(pid=7, start_time=1, cmdline="sleep", why="in uninterruptible sleep")


def anomaly(state: RunState, envelope: Envelope) -> str:
    after = folded(envelope, onto=state, first_seq=100)
    assert after.status is state.status
    return after.anomalies[-1].why if len(after.anomalies) > len(state.anomalies) else ""


@pytest.mark.parametrize(
    ("state", "envelope", "why"),
    [
        (
            RUNNING,
            on_host(ProgressReported(done=1), attempt=2),
            "it speaks of attempt 2, the run is in attempt 1",
        ),
        (RUNNING, record(ProgressReported(), host="h2"), "it comes from host h2, the run is held by h1"),
        (RUNNING, record(RunUnreachable(host="h2")), "it speaks of host h2, the run is held by h1"),
        (RUNNING, claim("h2", attempt=2), "host h2 claims it, but it is running on host h1"),
        (RUNNING, record(DrainHost(host=HOST)), "DrainHost is no order to a run"),
        (RUNNING, record(KillRun(run_id=OTHER_RUN)), f"it is an order to {OTHER_RUN}"),
        (
            RUNNING,
            on_host(RunKilled(receipt=receipt(survivors=(SURVIVOR,)))),
            "its receipt names 1 survivors",
        ),
        (
            RUNNING,
            on_host(RunKilled(receipt=receipt(verified=False))),
            "its receipt does not prove that every process is gone",
        ),
        (
            PENDING,
            record(RunClaimed(host="h2", attempt=1, boot_id="b", agent_id="a"), host=HOST),
            "host h1 claims it for h2",
        ),
        (PENDING, claim(attempt=2), "attempt 2 is claimed, but 1 is next"),
        (PENDING, on_host(ProgressReported(), attempt=0), "host h1 has not claimed the run"),
        (folded(start(host=HOST)), claim("h2"), "host h2 claims it, but it is meant for host h1"),
        (PENDING, record(RunCompleted()), "RunCompleted cannot happen to a run that is pending"),
        (TERMINATED, on_host(RunKilled(receipt=receipt())), "the run had already ended as completed"),
        (TERMINATED, on_host(ProgressReported()), "the run had already ended as completed"),
        (
            TERMINATED,
            record(OutcomeOverridden(outcome="failed", observed="nothing")),
            "the run had already ended as completed",
        ),
    ],
)
def test_it_says_what_it_holds_against_the_record(state: RunState, envelope: Envelope, why: str) -> None:
    assert anomaly(state, envelope) == why


@pytest.mark.parametrize(
    ("state", "envelope"),
    [
        (RUNNING, record(KillRun(run_id="run_00000000000a"))),
        (RUNNING, record(CommandRejected(command="KillRun", code="expired", message="late"), host="h2")),
        (TERMINATED, record(KillRun(run_id="run_00000000000a"))),
        (TERMINATED, on_host(ProcessExited(exit=Exit(code=0)))),
    ],
)
def test_what_can_be_true_is_no_anomaly(state: RunState, envelope: Envelope) -> None:
    assert anomaly(state, envelope) == ""


def test_a_host_that_has_not_claimed_a_run_cannot_end_it() -> None:
    failed = RunFailed(failure=Failure(kind="launch_failed", message="no"))

    assert folded(start(), record(failed, host=HOST)).status is Status.PENDING
    assert folded(start(), record(failed)).status is Status.FAILED


def test_a_restart_that_stands_in_a_foreign_story_is_an_anomaly() -> None:
    foreign = record(RestartRun(run_id=OTHER_RUN, new_run_id="run_00000000000a", spec=SPEC))

    assert anomaly(RUNNING, foreign) == f"it is a restart of {OTHER_RUN} as run_00000000000a"
