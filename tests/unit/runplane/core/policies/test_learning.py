"""What earlier runs teach: with room above, a floor, a ceiling, and nothing from too few."""

from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.spec import Usual
from runplane.core.policies.learning import (
    LEAST_QUIET_SECONDS,
    LEAST_RUNS,
    LEAST_STEP_SECONDS,
    MOST_SECONDS,
    MOST_STEPS,
    learned,
)

seconds = st.lists(st.floats(0, 1e6), max_size=30)


def test_too_few_teach_nothing() -> None:
    assert learned([1.0] * (LEAST_RUNS - 1), {"plan": [1.0] * (LEAST_RUNS - 1)}) is None


def test_a_long_gap_that_ended_well_is_no_alarm_the_next_time() -> None:
    found = learned([2.0, 3.0, 2.0, 900.0, 2.0], {})
    assert found is not None
    assert found.quiet == Usual(times=5, usual=2.0, longest=900.0, limit=2700.0)


def test_steps_have_limits_of_their_own_and_a_floor() -> None:
    found = learned([], {"plan": [1.0] * 5, "train": [100.0, 110.0, 90.0, 100.0, 31.0], "once": [5.0]})
    assert found is not None
    assert found.quiet is None
    assert {name: usual.limit for name, usual in found.steps.items()} == {
        "plan": LEAST_STEP_SECONDS,
        "train": 600.0,
    }


def test_very_many_steps_are_bounded_and_the_most_frequent_stay() -> None:
    steps = {f"step {number}": [1.0] * (5 + number % 7) for number in range(3 * MOST_STEPS)}
    found = learned([], steps)
    assert found is not None
    assert len(found.steps) == MOST_STEPS
    assert min(usual.times for usual in found.steps.values()) >= 9


@given(seconds, st.dictionaries(st.text(max_size=5), seconds, max_size=5))
def test_a_limit_is_never_within_what_was_seen_to_end_well(
    quiet: list[float], steps: dict[str, list[float]]
) -> None:
    found = learned(quiet, steps)
    if found is None:
        return
    for usual, least in [
        (found.quiet, LEAST_QUIET_SECONDS),
        *((one, LEAST_STEP_SECONDS) for one in found.steps.values()),
    ]:
        if usual is not None:
            assert least <= usual.limit <= MOST_SECONDS
            assert usual.limit >= min(MOST_SECONDS, usual.longest)
