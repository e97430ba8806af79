"""What becomes of a run when an attempt of it failed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.run import Attempt, Ending, Failure, Run, Status
from runplane.contract.spec import RunSpec
from runplane.contract.workflow import RetryPolicy
from runplane.core.policies.recovery import Course, chain_of, course_after, wait_before
from tests.records import NOON, RUN, SPEC

FAILED = Failure(kind="exit_code", message="exit code 3")


def spec(**changes: Any) -> RunSpec:
    return RunSpec.model_validate(SPEC.model_dump(by_alias=True) | changes)


def run(attempt: int = 1, **changes: Any) -> Run:
    return Run(
        run_id=RUN,
        workflow="lina",
        workflow_version=1,
        status=Status.RUNNING,
        attempt=attempt,
        attempts=(Attempt(attempt=attempt, host="h1", claimed_at=NOON),),
        created_at=NOON,
        requested_by="o",
        seq=1,
        **changes,
    )


def course(
    of: RunSpec, attempt: int = 1, ending: Ending = "failed", failure: Failure = FAILED, code: int = 3
) -> Course:
    return course_after(run(attempt), of, ending=ending, failure=failure, exit_code=code)


def test_without_a_policy_a_failure_is_the_end() -> None:
    assert course(spec()).next is None


def test_as_many_attempts_as_the_policy_allows() -> None:
    policy = spec(retry={"max_attempts": 3})
    assert [course(policy, n).next for n in (1, 2, 3, 4)] == ["attempt", "attempt", None, None]


@pytest.mark.parametrize(
    ("ending", "code", "following"),
    [("failed", 3, "attempt"), ("failed", 2, None), ("timed_out", 2, "attempt"), ("stuck", 0, None)],
)
def test_only_after_the_endings_and_exit_codes_it_names(
    ending: Ending, code: int, following: str | None
) -> None:
    policy = spec(retry={"max_attempts": 3, "on": ["failed", "timed_out"], "not_on_exit": [2]})
    assert course(policy, 1, ending, code=code).next == following


def test_what_cannot_be_accounted_for_is_not_attempted_beside() -> None:
    policy = spec(retry={"max_attempts": 3})
    lost = {
        kind: Failure(kind=kind, message="m") for kind in ("run_directory_lost", "host_rebooted", "host_lost")
    }
    following = {kind: course(policy, 1, "lost", failure).next for kind, failure in lost.items()}
    assert following == {"run_directory_lost": None, "host_rebooted": "attempt", "host_lost": "attempt"}


def test_a_chain_is_followed_link_by_link() -> None:
    chain = [{"do": "resume", "times": 2}, {"do": "restart"}, {"do": "escalate"}]
    policy = spec(recovery={"chain": chain})
    followed = [(c.next, c.resume) for c in (course(policy, n) for n in range(1, 6))]
    again = [("attempt", True), ("attempt", True), ("attempt", False)]
    assert followed == [*again, ("decision", False), ("decision", False)]


def test_what_cannot_be_resumed_is_not_resumed_again_nor_begun_anew_by_itself() -> None:
    changed = Failure(kind="shape_changed", message="m")
    resumed = spec(retry={"max_attempts": 5}, recovery={"from": "checkpoint"})
    assert course(resumed, 2, failure=changed).next is None
    chain = [{"do": "resume", "times": 9}, {"do": "restart"}, {"do": "escalate"}]
    assert course(spec(recovery={"chain": chain}), 2, failure=changed).next == "attempt"
    assert course(spec(recovery={"chain": chain}), 2, failure=changed).resume is False


def test_a_run_that_is_followed_by_another_is_not_attempted_again() -> None:
    after = course_after(
        run(restarted_as="run_00000000000b"), spec(retry={"max_attempts": 9}), ending="failed", failure=FAILED
    )
    assert after.next is None


def test_stuck_runs_have_three_more_attempts_unless_their_workflow_says_how_many() -> None:
    assert [link.times for link in chain_of(spec(stuck={"action": "retry"}))] == [3]
    assert [link.times for link in chain_of(spec(stuck={"action": "retry"}, retry={"max_attempts": 2}))] == [
        1
    ]


@given(
    failed=st.integers(1, 2000),
    initial=st.floats(0, 1000),
    factor=st.floats(1, 100),
    longest=st.floats(0, 10_000),
    run_id=st.integers(0, 16**12 - 1),
)
def test_a_wait_lies_between_half_of_what_is_due_and_all_of_it(
    failed: int, initial: float, factor: float, longest: float, run_id: int
) -> None:
    policy = RetryPolicy(initial=initial, factor=factor, max=longest)
    waited = wait_before(policy, f"run_{run_id:012x}", failed)
    try:
        due = min(longest, initial * factor ** (failed - 1))
    except OverflowError:
        due = longest
    assert due / 2 - 0.001 <= waited <= due + 0.001
    assert waited == wait_before(policy, f"run_{run_id:012x}", failed)


def test_a_hundred_runs_that_fail_together_come_back_apart() -> None:
    waits = sorted(wait_before(RetryPolicy(initial=60), f"run_{n:012x}", 1) for n in range(100))
    most_at_once = max(sum(1 for w in waits if start <= w < start + 1) for start in range(30, 60))
    assert most_at_once < 15
    assert waits[0] < 36
    assert waits[-1] > 54
