"""Where a run can go on, worked out from its story."""

from typing import Any

from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    AttemptFailed,
    CheckpointStored,
    RetryScheduled,
    StepCompleted,
    StepStarted,
)
from runplane.contract.run import Checkpoint, Failure, Resumption
from runplane.core.resumption import Recorded, merged, recorded
from tests.records import HOST, NOON, RUN, SPEC, claim, record, spawned, start


def began(name: str, index: int = 0, attempt: int = 1, host: str = HOST) -> Envelope:
    return record(StepStarted(name=name, index=index, key=f"{name}#{index}"), host=host, attempt=attempt)


def done(name: str, index: int = 0, attempt: int = 1, host: str = HOST, result: Any = 1) -> Envelope:
    fact = StepCompleted(name=name, index=index, key=f"{name}#{index}", result=result)
    return record(fact, host=host, attempt=attempt)


def kept(digest: str, attempt: int = 1, host: str = HOST) -> Envelope:
    return record(CheckpointStored(digest=digest, number=1, bytes=1), host=host, attempt=attempt)


def failed(attempt: int = 1) -> Envelope:
    fact = AttemptFailed(ending="failed", failure=Failure(kind="k", message="m"), next="attempt", resume=True)
    return record(fact, host=HOST, attempt=attempt)


def again(attempt: int = 2, resume: Resumption | None = None) -> tuple[Envelope, Envelope]:
    return (
        record(RetryScheduled(attempt=attempt, at=NOON, resume=resume is not None)),
        record(StartRun(run_id=RUN, spec=SPEC, attempt=attempt, resume=resume)),
    )


def told(*records: Envelope) -> Recorded:
    return recorded(enumerate(records, 1))


BEGINNING = (start(), claim(), spawned())


def test_what_was_completed_and_what_was_running() -> None:
    left = told(*BEGINNING, began("plan"), done("plan"), kept("c1"), began("fetch"), kept("c2"), failed())
    assert {place: step["state"] for place, step in left.steps.items()} == {
        "plan#0": "completed",
        "fetch#0": "started",
    }
    assert left.checkpoint is not None
    assert left.checkpoint.id == "c2"
    assert left.sequential
    assert left.given is None


def test_an_attempt_from_the_beginning_has_nothing_of_the_one_before() -> None:
    left = told(*BEGINNING, began("plan"), done("plan"), kept("c1"), failed(), *again(), claim("h2", 2))
    assert left.steps == {}
    assert left.checkpoint is None


def test_an_attempt_that_goes_on_keeps_what_it_was_given_until_it_has_more() -> None:
    given = Resumption(digest="d", origin=RUN, steps=1, checkpoint=Checkpoint(id="c1", at=NOON))
    story = (
        *BEGINNING,
        began("plan"),
        done("plan"),
        kept("c1"),
        failed(),
        *again(resume=given),
        claim("h2", 2),
    )
    left = told(*story)
    assert (left.given, left.checkpoint) == (given, given.checkpoint)
    later = told(*story, done("plan", attempt=2, host="h2"), kept("c9", attempt=2, host="h2"))
    assert later.checkpoint is not None
    assert later.checkpoint.id == "c9"


def test_what_a_host_tells_of_an_attempt_that_was_left_behind_is_nothing_to_go_on_from() -> None:
    late = (done("fetch"), kept("c9"))
    left = told(*BEGINNING, began("plan"), done("plan"), failed(), *again(), claim("h2", 2), *late)
    assert left.steps == {}
    assert left.checkpoint is None


def test_steps_beside_each_other_have_no_order_and_those_of_other_processes_none_at_all() -> None:
    assert not told(*BEGINNING, began("a"), began("b"), done("a"), done("b")).sequential
    elsewhere = StepCompleted(name="a", index=0, key="@77/a#0", result=1)
    assert told(*BEGINNING, record(elsewhere, host=HOST, attempt=1)).steps == {}


def test_what_was_given_stays_where_the_attempt_did_not_get_to_it() -> None:
    before = [
        {"name": n, "index": 0, "key": f"{n}#0", "state": "completed", "result": n} for n in ("a", "b", "c")
    ]
    left = told(*BEGINNING, done("a", result="a"), began("b"))
    steps = merged(before, left)
    assert [(step["key"], step["state"]) for step in steps] == [
        ("a#0", "completed"),
        ("b#0", "completed"),
        ("c#0", "completed"),
    ]
