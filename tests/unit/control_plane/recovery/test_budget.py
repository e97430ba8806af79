"""When repeated attempts are a crash loop, and how much it is slowed."""

import pytest

from control_plane.recovery.budget import BASE, LEAST_SLOW_SECONDS, MOST_SLOW_SECONDS, PER_RUN, slowed


@pytest.mark.parametrize(("failed", "runs"), [(1, 1), (BASE + PER_RUN, 1), (100, 100), (300, 100)])
def test_a_few_failures_of_one_run_and_one_of_many_runs_are_no_loop(failed: int, runs: int) -> None:
    assert slowed(5.0, failed=failed, runs=runs) is None


def test_a_loop_is_slowed_the_more_the_longer_it_goes_on_and_never_for_ever() -> None:
    waits = [slowed(0.1, failed=failed, runs=1) or 0.0 for failed in (14, 30, 300, 100_000)]
    assert waits == sorted(waits)
    assert waits[0] >= LEAST_SLOW_SECONDS
    assert waits[-1] == MOST_SLOW_SECONDS


def test_it_is_never_made_faster() -> None:
    assert slowed(5_000.0, failed=1_000, runs=1) == 5_000.0
