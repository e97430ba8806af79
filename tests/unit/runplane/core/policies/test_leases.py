"""How long a run may go on without its host being heard from."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.spec import RunSpec
from runplane.core.policies.leases import MARGIN_SECONDS, ends_by_itself, given_up_after, hard_stop_after
from tests.records import SPEC


def spec(grace: float = 10.0, **disconnect: Any) -> RunSpec:
    return RunSpec.model_validate(
        SPEC.model_dump(by_alias=True) | {"kill": {"grace": grace}, "disconnect": disconnect}
    )


def test_without_a_lease_nobody_ends_it_and_it_is_given_up_in_its_time() -> None:
    assert not ends_by_itself(spec(lost_after=60))
    assert given_up_after(spec(lost_after=60)) == 60


def test_the_grace_is_kept_where_there_is_time_for_it_and_cut_where_there_is_none() -> None:
    assert hard_stop_after(spec(10.0, stop_after=600, lost_after=900)) == 610
    assert hard_stop_after(spec(10.0, stop_after=5, lost_after=12)) == 8
    assert hard_stop_after(spec(10.0, stop_after=5, lost_after=6)) == 5


@given(grace=st.floats(0, 1e6), stop_after=st.floats(0, 1e6), lost_after=st.floats(0, 1e6))
def test_nothing_begins_elsewhere_before_it_was_killed_here(
    grace: float, stop_after: float, lost_after: float
) -> None:
    of = spec(grace, stop_after=stop_after, lost_after=lost_after)
    assert stop_after <= hard_stop_after(of)
    assert hard_stop_after(of) + MARGIN_SECONDS <= given_up_after(of) + 1e-6
    assert given_up_after(of) >= lost_after
