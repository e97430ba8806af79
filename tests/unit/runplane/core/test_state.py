"""The state as it is stored and as it is shown."""

from hypothesis import given

from runplane.contract.envelope import Envelope
from runplane.contract.run import Resources
from runplane.core.fold import initial
from runplane.core.state import RunState, view
from tests.records import NOON, claim, folded, on_host, record, spawned, start
from tests.strategies import stories

SAMPLE = Resources(cpu_percent=12.5, sampled_at=NOON)


@given(stories())
def test_a_state_survives_being_stored(records: list[Envelope]) -> None:
    state = folded(*records)

    assert RunState.model_validate_json(state.model_dump_json()) == state
    assert RunState.model_validate_json(state.model_dump_json(exclude_none=True)) == state


def test_a_sample_is_laid_over_an_open_run_and_never_stored() -> None:
    from runplane.contract.events import RunCompleted

    running = folded(start(), claim(), spawned())
    shown = view(running, SAMPLE)
    assert shown is not None
    assert shown.resources == SAMPLE
    assert running.run is not None
    assert running.run.resources is None

    ended = folded(on_host(RunCompleted()), onto=running, first_seq=4)
    assert view(ended, SAMPLE) == ended.run


def test_there_is_nothing_to_show_of_a_run_nobody_asked_for() -> None:
    assert view(initial(), SAMPLE) is None
    assert initial().status is None
    assert folded(record(start().data, run_id="run_00000000000b")).run is None
