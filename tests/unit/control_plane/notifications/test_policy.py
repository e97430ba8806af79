import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.notifications.message import message_of, trial_message
from control_plane.notifications.policy import about_of, notification_id, told_of, wait_before
from control_plane.notifications.settings import Notifications, Retry
from runplane.contract.events import (
    ConditionRaised,
    OutcomeOverridden,
    RestartAccepted,
    RunFailed,
    RunKilled,
    RunLost,
)
from runplane.contract.run import Condition, Failure
from runplane.core.fold import initial
from tests.records import NOON, OTHER_RUN, RUN, claim, folded, on_host, receipt, record, spawned, start

STUCK = Condition(type="stuck", verdict="idle", since=NOON, detail="nothing\x1b[2J was\nprinted")
RAISED = on_host(ConditionRaised(condition=STUCK))
RUNNING = folded(start(), claim(), spawned())


def test_a_run_that_is_stuck_is_told_of_once() -> None:
    assert about_of(RAISED, RUNNING, None) == "stuck"
    assert about_of(RAISED, folded(RAISED, onto=RUNNING), None) is None
    assert about_of(RAISED, initial(), None) is None
    assert (
        about_of(RAISED, folded(on_host(RunLost(failure=Failure(kind="k", message="m"))), onto=RUNNING), None)
        is None
    )
    other = on_host(ConditionRaised(condition=STUCK.model_copy(update={"type": "leftovers"})))
    assert about_of(other, RUNNING, None) is None


@pytest.mark.parametrize(
    ("outcome", "about"),
    [
        ("failed", "failed"), ("killed", "killed"), ("timed_out", "timed_out"), ("lost", "lost"),
        ("completed", None), ("canceled", None),
    ],
)  # fmt: skip
def test_endings_are_told_of_by_their_outcome(outcome: str, about: str | None) -> None:
    declared = record(OutcomeOverridden(outcome="failed", observed="alive"))
    assert about_of(declared, initial(), outcome) == about


def test_who_is_told_follows_the_file() -> None:
    configuration = Notifications.model_validate(
        {
            "targets": [
                {"name": "all", "apprise": "env:A"},
                {"name": "stuck-only", "apprise": "env:A", "on": ["stuck"]},
                {"name": "nightly", "apprise": "env:A", "workflows": ["nightly-*", "lina"]},
            ]
        }
    )
    told = {
        (about, workflow): [target.name for target in told_of(configuration, about, workflow)]
        for about in ("stuck", "lost")
        for workflow in ("lina", "nightly-7", "other")
    }
    assert told["stuck", "lina"] == told["stuck", "nightly-7"] == ["all", "stuck-only", "nightly"]
    assert (told["lost", "other"], told["stuck", "other"]) == (["all"], ["all", "stuck-only"])


def test_ids_are_those_of_event_and_target() -> None:
    ids = {notification_id(event, target) for event in ("e1", "e2") for target in ("a", "b")}
    assert len(ids) == 4
    assert notification_id("e1", "a") in ids


@given(
    attempts=st.integers(1, 30), key=st.text(max_size=5), asked=st.none() | st.floats(0, 1e9, allow_nan=False)
)
def test_attempts_come_later_each_time_and_end(attempts: int, key: str, asked: float | None) -> None:
    retry = Retry()
    wait = wait_before(retry, attempts, key, asked=asked)
    assert wait == wait_before(retry, attempts, key, asked=asked)
    if attempts >= retry.attempts:
        assert wait is None
        return
    assert wait is not None
    usual = min(3600, 5 * 4 ** (attempts - 1))
    assert wait <= max(usual * 1.2, 3600) + 1e-6
    assert wait >= usual * 0.8 - 1e-6
    if asked is not None:
        assert wait >= min(asked, 3600)


def test_a_notification_says_what_happened_and_what_to_type() -> None:
    state = folded(RAISED, onto=RUNNING)
    assert state.run is not None
    message = message_of("stuck", RAISED, state.run, "https://x")
    data = message.data
    assert data["sentence"] == f"lina {RUN} on h1 is stuck since 2026-03-01 12:00:00 UTC: nothing was printed"
    assert data["next"][0] == f"runplane diagnose {RUN}"
    assert (data["url"], data["verdict"]) == (f"https://x/runs/{RUN}", "idle")
    assert json.loads(message.body())["type"] == "run.stuck"
    assert message.body() == message_of("stuck", RAISED, state.run, "https://x").body()
    killed = on_host(RunKilled(receipt=receipt(reason="it hangs")))
    run = folded(killed, onto=RUNNING).run
    assert run is not None
    assert (
        message_of("killed", killed, run, "x").data["sentence"].endswith("killed by operator (cli): it hangs")
    )
    failed = on_host(RunFailed(failure=Failure(kind="exit", message="e" * 10_000)))
    run = folded(failed, onto=RUNNING).run
    assert run is not None
    long = message_of("failed", failed, run, "x")
    assert len(long.data["sentence"]) == 1_000
    assert "runplane restart" in long.text
    assert "test" in trial_message("oncall", NOON, "x").text


def test_of_a_run_that_another_follows_the_other_is_named() -> None:
    accepted = on_host(RestartAccepted(new_run_id=OTHER_RUN))
    killed = on_host(RunKilled(receipt=receipt()))
    run = folded(accepted, killed, onto=RUNNING).run
    assert run is not None
    data = message_of("killed", killed, run, "x").data
    assert data["sentence"].endswith(f"was killed by operator (cli); {OTHER_RUN} follows it")
    assert data["next"] == [f"runplane status {OTHER_RUN}"]
