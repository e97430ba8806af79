from control_plane.api.events import fold_steps
from runplane.contract.events import StepCompleted, StepFailed, StepStarted
from tests.records import at, on_host


def test_steps_in_the_order_of_their_beginning() -> None:
    steps = fold_steps(
        [
            on_host(StepStarted(name="plan", index=0, inputs={"a": 1}, expected_seconds=9), time=at(0)),
            on_host(StepStarted(name="act", index=1), time=at(1)),
            on_host(StepCompleted(name="plan", index=0, result="ok", duration_seconds=2), time=at(2)),
            on_host(StepFailed(name="act", index=1, error="boom"), time=at(3)),
        ]
    )
    assert [(step.name, step.state, step.started_at, step.ended_at) for step in steps] == [
        ("plan", "completed", at(0), at(2)),
        ("act", "failed", at(1), at(3)),
    ]
    assert (steps[0].inputs, steps[0].result, steps[0].expected_seconds) == ({"a": 1}, "ok", 9)
    assert steps[1].error == "boom"


def test_a_step_of_another_attempt_is_another_step() -> None:
    begun = StepStarted(name="plan", index=0)
    steps = fold_steps([on_host(begun, attempt=1), on_host(begun, attempt=2)])
    assert [step.attempt for step in steps] == [1, 2]


def test_an_end_without_a_beginning_stands() -> None:
    (step,) = fold_steps([on_host(StepCompleted(name="plan", index=3, result=1))])
    assert (step.state, step.started_at, step.result) == ("completed", None, 1)
