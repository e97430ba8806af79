"""The fold is total and deterministic, whatever stands in the log and in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.commands import RestartRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import OutcomeOverridden
from runplane.contract.run import Status
from runplane.core.fold import MAX_ANOMALIES, apply, fold, initial
from runplane.core.state import RunState
from tests.records import OTHER_RUN, RUN, SPEC, claim, folded, numbered, record, spawned, start
from tests.strategies import envelopes, stories


@st.composite
def shuffled(draw: st.DrawFn) -> list[Envelope]:
    """A story with records doubled, left out, put out of order and mixed with garbage."""
    records = draw(stories())
    garbage = draw(st.lists(envelopes(), max_size=5))
    doubled = [*records, *records[: draw(st.integers(0, len(records)))], *garbage]
    return draw(st.permutations(doubled))


@given(shuffled())
def test_any_order_any_doubling_and_any_garbage_raises_nothing(records: list[Envelope]) -> None:
    state = folded(*records)

    assert state.run is None or state.run.status in Status
    assert len(state.anomalies) <= MAX_ANOMALIES


@given(stories() | shuffled())
def test_folding_in_one_go_equals_folding_step_by_step_through_json(records: list[Envelope]) -> None:
    stepwise = initial()
    for seq, envelope in numbered(records):
        stepwise = RunState.model_validate_json(apply(stepwise, envelope, seq).model_dump_json())

    at_once = fold(numbered(records))
    assert at_once.model_dump_json() == stepwise.model_dump_json()


@given(stories(), st.integers(0, 30))
def test_folding_the_rest_onto_the_state_of_the_beginning_equals_folding_all(
    records: list[Envelope], cut: int
) -> None:
    beginning = folded(*records[:cut])

    assert folded(*records[cut:], onto=beginning, first_seq=len(records[:cut]) + 1) == folded(*records)


@given(stories() | shuffled())
def test_the_first_ending_in_log_order_wins(records: list[Envelope]) -> None:
    state = initial()
    for seq, envelope in numbered(records):
        before, state = state, apply(state, envelope, seq)
        if before.run is None or not before.run.status.ended:
            continue
        assert state.run is not None
        assert state.run.ended_at == before.run.ended_at
        replaces = isinstance(envelope.data, OutcomeOverridden) and envelope.data.replaced
        if not replaces:
            assert state.run.status is before.run.status
            assert state.run.failure == before.run.failure
            assert state.run.override == before.run.override


@given(stories() | shuffled())
def test_an_anomaly_changes_nothing_but_the_count(records: list[Envelope]) -> None:
    state = initial()
    for seq, envelope in numbered(records):
        before, state = state, apply(state, envelope, seq)
        if before.run is None or state.run is None or state.run.anomalies == before.run.anomalies:
            continue
        counted = {"anomalies": state.run.anomalies, "seq": seq}
        assert state.run == before.run.model_copy(update=counted)
        assert state.termination == before.termination
        assert state.status_before == before.status_before


@given(stories())
def test_the_position_of_the_last_event_is_kept_for_the_compare_and_set(records: list[Envelope]) -> None:
    events = [seq for seq, envelope in numbered(records) if not envelope.is_command]

    assert folded(*records).event_seq == max(events, default=0)


@given(stories())
def test_a_run_never_disappears_and_never_changes_who_asked_for_it(records: list[Envelope]) -> None:
    state = initial()
    for seq, envelope in numbered(records):
        before, state = state, apply(state, envelope, seq)
        if before.run is not None:
            assert state.run is not None
            assert (state.run.run_id, state.run.requested_by, state.run.created_at, state.run.params) == (
                before.run.run_id,
                before.run.requested_by,
                before.run.created_at,
                before.run.params,
            )


def test_start_run_itself_is_the_fact_that_a_run_was_asked_for() -> None:
    state = folded(start())

    assert state.run is not None
    assert (state.run.status, state.run.requested_by, state.run.seq) == (Status.PENDING, "operator", 1)
    assert state.spec == SPEC
    assert state.event_seq == 0


def test_a_restart_makes_the_new_run_pending_at_once() -> None:
    restart = RestartRun(run_id=OTHER_RUN, new_run_id=RUN, spec=SPEC)

    state = folded(record(restart), start())

    assert state.run is not None
    assert (state.run.status, state.run.restarted_from) == (Status.PENDING, OTHER_RUN)
    assert state.anomalies == ()


def test_what_was_told_before_anybody_asked_is_counted_on_the_run() -> None:
    state = folded(claim(), start())

    assert state.run is not None
    assert (state.run.status, state.run.anomalies) == (Status.PENDING, 1)


def test_a_second_start_with_another_configuration_is_an_anomaly_and_the_first_stays() -> None:
    other = SPEC.model_copy(update={"argv": ("rm", "-rf")})

    state = folded(start(), record(StartRun(run_id=RUN, spec=other)))

    assert state.spec == SPEC
    assert "another configuration" in state.anomalies[0].why


def test_beyond_the_limit_anomalies_are_only_counted() -> None:
    doubled = [claim() for _ in range(MAX_ANOMALIES + 5)]

    state = folded(start(), claim(), *doubled)

    assert state.run is not None
    assert state.run.anomalies == MAX_ANOMALIES + 5
    assert len(state.anomalies) == MAX_ANOMALIES


def test_a_record_of_another_run_is_foreign() -> None:
    state = folded(start(), claim(), spawned())
    foreign = record(StartRun(run_id=OTHER_RUN, spec=SPEC), run_id=OTHER_RUN)

    after = apply(state, foreign, 4)

    assert after.status is Status.RUNNING
    assert after.anomalies[0].why == f"it belongs to {OTHER_RUN}"
