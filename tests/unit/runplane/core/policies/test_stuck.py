"""What is ordered when a run is stuck, for each action of its workflow."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runplane.contract.commands import EndAttempt, KillRun, RestartRun
from runplane.contract.run import Condition, Failure, Run, Status
from runplane.contract.spec import RunSpec
from runplane.core.policies.stuck import MOST_RESTARTS, decide
from runplane.core.state import RunState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STUCK = Condition(type="stuck", verdict="idle", since=NOW, detail="it sleeps")
RUN = "run_0dcbc991c0d4"


def state(action: str, status: Status = Status.RUNNING, **changes: Any) -> RunState:
    spec = RunSpec.model_validate(
        {
            "workflow": "w", "workflow_version": 1, "argv": ("true",), "workspace": "/",
            "stuck": {"action": action}, "retry": changes.pop("retry", {}),
        }
    )  # fmt: skip
    changes = {"conditions": (STUCK,), **changes}
    run = Run(
        run_id=RUN, workflow="w", workflow_version=1, status=status, created_at=NOW, requested_by="o", seq=1, **changes
    )  # fmt: skip
    return RunState(run=run, spec=spec)


def test_kill_says_why() -> None:
    order = decide(state("kill"), STUCK, cause="c", restarts_before=0)
    assert order == KillRun(run_id=RUN, reason="stuck (idle): it sleeps")


def test_another_attempt_is_one_of_the_same_run() -> None:
    order = decide(state("retry", attempt=2), STUCK, cause="c", restarts_before=0)
    failure = Failure(kind="stuck", message="stuck (idle): it sleeps")
    assert order == EndAttempt(run_id=RUN, attempt=2, ending="stuck", failure=failure)


def test_restart_has_an_id_derived_from_its_cause() -> None:
    orders = [decide(state("restart"), STUCK, cause=cause, restarts_before=0) for cause in ("c", "c", "d")]
    assert all(isinstance(order, RestartRun) and order.run_id == RUN for order in orders)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize(("retry", "most"), [({}, MOST_RESTARTS), ({"max_attempts": 6}, 5)])
def test_it_is_not_restarted_for_ever(retry: dict[str, int], most: int) -> None:
    before = [
        decide(state("restart", retry=retry), STUCK, cause="c", restarts_before=n) for n in (most - 1, most)
    ]
    assert isinstance(before[0], RestartRun)
    assert isinstance(before[1], KillRun)
    assert f"restarted {most} times" in str(before[1].reason)


@pytest.mark.parametrize(
    ("of", "condition"),
    [
        (state("notify"), STUCK),
        (state("kill"), STUCK.model_copy(update={"type": "leftovers"})),
        (state("kill", Status.TERMINATING), STUCK),
        (state("kill", Status.KILLED), STUCK),
        (state("kill", conditions=()), STUCK),
        (state("restart", restarted_as="run_00000000000b"), STUCK),
        (RunState(), STUCK),
    ],
)
def test_nothing_is_ordered(of: RunState, condition: Condition) -> None:
    assert decide(of, condition, cause="c", restarts_before=0) is None
