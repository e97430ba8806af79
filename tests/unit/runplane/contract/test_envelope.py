"""An envelope survives the wire whole; whatever is no envelope is Unreadable, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.commands import KillRun, SetVariables
from runplane.contract.envelope import (
    MAX_RECORD_BYTES,
    MAX_RECORD_DEPTH,
    SCHEMA_VERSION,
    Envelope,
    Unreadable,
    parse,
)
from runplane.contract.errors import InvalidInput
from runplane.contract.events import ProcessExited, ProgressReported, StepCompleted
from runplane.core.fold import apply
from runplane.core.state import RunState
from tests.records import HOST, RUN, claim, folded, on_host, record, spawned, start
from tests.strategies import envelopes, json_values

STEP = on_host(StepCompleted(name="plan", index=1, result=1))
RUNNING = folded(start(), claim(), spawned())


def document(**data: Any) -> dict[str, Any]:
    """A step's record as JSON, with other values in its data."""
    raw: dict[str, Any] = json.loads(STEP.encode())
    raw["data"] |= data
    return raw


def payload(raw: Any) -> bytes:
    return json.dumps(raw).encode()


def why_unreadable(payload: bytes, subject: str | None = None) -> str:
    with pytest.raises(Unreadable) as caught:
        parse(payload, subject)
    assert len(caught.value.message) < 1000
    return caught.value.message


def stored_and_loaded(state: RunState) -> None:
    stored = state.model_dump_json()
    assert RunState.model_validate_json(stored).model_dump_json() == stored


@given(envelopes())
def test_what_was_written_is_read_back_equal(envelope: Envelope) -> None:
    again = parse(envelope.encode(), envelope.subject)

    assert again == envelope
    assert again.encode() == envelope.encode()


@given(json_values)
def test_a_result_keeps_its_nulls(result: Any) -> None:
    envelope = on_host(StepCompleted(name="plan", index=1, result={"nothing": None, "in": [None, result]}))

    assert parse(envelope.encode()).data == envelope.data


def test_a_required_value_may_be_null() -> None:
    assert parse(on_host(ProcessExited(exit=None)).encode()).data == ProcessExited(exit=None)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_unreadable(noise: bytes) -> None:
    assert why_unreadable(noise, "rp.evt.host.h1.run_00000000000a")


@given(json_values)
def test_arbitrary_json_is_unreadable(value: Any) -> None:
    assert why_unreadable(payload(value))


@given(envelopes(), st.data())
def test_a_record_with_broken_bytes_is_read_or_unreadable(envelope: Envelope, data: st.DataObject) -> None:
    broken = bytearray(envelope.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = parse(bytes(broken))
    except Unreadable:
        return
    assert parse(again.encode()) == again


@given(envelopes(), st.data())
def test_a_record_with_a_field_of_another_type_is_read_or_unreadable(
    envelope: Envelope, data: st.DataObject
) -> None:
    raw = json.loads(envelope.encode())
    where = data.draw(st.sampled_from([raw, raw["data"]]))
    if where:
        where[data.draw(st.sampled_from(sorted(where)))] = data.draw(json_values | st.just([{}] * 3))
    try:
        again = parse(payload(raw))
    except Unreadable:
        return
    assert parse(again.encode()) == again
    stored_and_loaded(apply(RUNNING, again, 9))


@pytest.mark.parametrize("depth", [MAX_RECORD_DEPTH, 150, 260, 900, 10_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_record_nested_too_deep_is_unreadable(depth: int, opening: str, closing: str) -> None:
    nested = opening * depth + "1" + closing * depth
    raw = payload(document(result="HERE")).replace(b'"HERE"', nested.encode())

    assert why_unreadable(raw)


def test_a_record_within_the_depth_survives_reading_folding_and_storing() -> None:
    deep: Any = 1
    for _ in range(MAX_RECORD_DEPTH - 3):
        deep = [deep]
    envelope = parse(payload(document(result=deep)))

    assert parse(envelope.encode()) == envelope
    stored_and_loaded(apply(RUNNING, envelope, 9))


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        r'"\ud800"',
        r'{"\udc00": 1}',
        r'"\uD83D"',
        "7" * 5000,
    ],
)
def test_a_value_that_could_not_be_written_again_is_unreadable(value: str) -> None:
    raw = payload(document(result="HERE")).replace(b'"HERE"', value.encode())

    assert "not JSON that can be read" in why_unreadable(raw)


def test_a_pair_of_surrogates_is_a_character() -> None:
    raw = payload(document(result="HERE")).replace(b'"HERE"', rb'"\ud83d\ude00"')

    assert parse(raw).data == StepCompleted(name="plan", index=1, result="\N{GRINNING FACE}")


@pytest.mark.parametrize(
    "raw",
    [
        STEP.encode().replace(b"plan", b"pl\xff\xfen"),
        STEP.encode().replace(b"plan", b"pl\xed\xa0\x80n"),
        STEP.encode().decode().encode("utf-16"),
        b"\xef\xbb\xbf" + STEP.encode(),
        b"",
        b"null",
        b"[]",
    ],
)
def test_what_is_not_plain_utf8_is_unreadable(raw: bytes) -> None:
    assert why_unreadable(raw)


def test_a_record_that_stands_on_another_subject_is_forged() -> None:
    message = why_unreadable(STEP.encode(), f"rp.evt.host.h2.{RUN}")

    assert "'rp.evt.host.h1.run_00000000000a'" in message
    assert "'rp.evt.host.h2.run_00000000000a'" in message


def test_a_command_among_the_events_is_unreadable_and_the_other_way_round() -> None:
    event, command = f"rp.evt.host.{HOST}.{RUN}", f"rp.cmd.host.{HOST}.{RUN}"
    assert "KillRun does not belong" in why_unreadable(record(KillRun(run_id=RUN), subject=event).encode())
    assert "StepCompleted does not belong" in why_unreadable(record(STEP.data, subject=command).encode())


def test_a_record_of_a_future_schema_says_to_update() -> None:
    future = STEP.model_copy(update={"schema_version": SCHEMA_VERSION + 1})

    assert "update Runplane" in why_unreadable(future.encode())


@pytest.mark.parametrize("kind", ["RunTeleported", "", None, 7, ["StepCompleted"], "x" * 100_000])
def test_an_unknown_type_is_unreadable(kind: Any) -> None:
    assert "is not known to this version" in why_unreadable(payload(document() | {"type": kind}))


def test_a_field_of_the_wrong_type_is_named() -> None:
    assert why_unreadable(payload(document(index="first"))).startswith("index: ")


def test_fields_of_a_newer_writer_are_dropped_also_where_files_are_strict() -> None:
    raw = json.loads(start().encode())
    raw["colour"] = raw["data"]["colour"] = raw["data"]["spec"]["kill"]["colour"] = "red"

    assert parse(payload(raw)) == start()


def test_a_record_over_the_limit_is_unreadable() -> None:
    assert "over the limit" in why_unreadable(b" " * (2 * MAX_RECORD_BYTES + 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": "\ud800"}, "cannot be written as JSON"),
        ({"a": "x" * MAX_RECORD_BYTES}, "shorten it"),
        ({"a": json.loads("[" * 150 + "]" * 150)}, "flatten it"),
        ({"a": json.loads("[" * 600 + "]" * 600)}, "cannot be written as JSON"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        record(SetVariables(run_id=RUN)).model_copy(
            update={"data": SetVariables.model_construct(run_id=RUN, values=values, scope=None)}
        ).encode()


def test_a_number_that_is_not_finite_is_written_as_null() -> None:
    data = parse(on_host(ProgressReported(done=float("inf"))).encode()).data

    assert data == ProgressReported(done=None)


def test_subject_names_the_run_and_the_host() -> None:
    assert (STEP.run_id, STEP.host, STEP.is_command) == (RUN, HOST, False)
    assert (start().host, start().is_command) == (None, True)
    assert record(STEP.data, run_id="host", host=HOST).run_id is None
