from typing import Any

import pytest

from mcp_server.tools import sentences
from mcp_server.tools.ending import is_gone
from runplane.contract.run import Run, Status

RUN_ID = "run_0dcbc991c0d4"
NEXT = "run_111111111111"
NOW = "2026-07-28T02:40:00Z"
RECEIPT: dict[str, Any] = {
    "command_id": "0" * 32,
    "requested_by": "ann",
    "via": "mcp",
    "method": "graceful",
    "processes": [{"pid": 7, "start_time": 1, "cmdline": "lina", "exit": "SIGTERM"}],
    "verified": True,
    "verified_by": ["cgroup"],
    "started_at": NOW,
    "ended_at": NOW,
    "duration_ms": 12.3,
}
ATTEMPT: dict[str, Any] = {
    "attempt": 1,
    "host": "h1",
    "claimed_at": NOW,
    "main": {"boot_id": "b", "pid": 7, "start_time": 1},
    "verified_by": ["cgroup"],
}
UNVERIFIED = ATTEMPT | {"verified_by": []}
OVERRIDE = {"outcome": "failed", "by": "ann", "at": NOW, "observed": "detached while running"}


def run(status: Status, **fields: Any) -> Run:
    return Run.model_validate(
        {
            "run_id": RUN_ID,
            "workflow": "lina",
            "workflow_version": 1,
            "status": status,
            "created_at": NOW,
            "requested_by": "ann",
            "seq": 9,
        }
        | fields
    )


@pytest.mark.parametrize(
    ("ended", "gone"),
    [
        (run(Status.RUNNING, attempts=[ATTEMPT]), False),
        (run(Status.TERMINATING, attempts=[ATTEMPT]), False),
        (run(Status.CANCELED), True),
        (run(Status.KILLED, attempts=[ATTEMPT], kill_receipt=RECEIPT), True),
        (run(Status.COMPLETED, attempts=[ATTEMPT]), True),
        (run(Status.COMPLETED, attempts=[UNVERIFIED]), False),
        (run(Status.FAILED, attempts=[ATTEMPT | {"main": None, "verified_by": []}]), True),
        (
            run(Status.FAILED, attempts=[ATTEMPT | {"main": None, "verified_by": []}], override=OVERRIDE),
            False,
        ),
        (run(Status.FAILED, attempts=[UNVERIFIED], override=OVERRIDE), False),
        (run(Status.KILLED, attempts=[UNVERIFIED], kill_receipt=RECEIPT | {"verified": False}), False),
        (run(Status.LOST, attempts=[ATTEMPT]), False),
    ],
)
def test_confirmed_means_that_it_was_shown(ended: Run, gone: bool) -> None:
    assert is_gone(ended) is gone


def test_a_kill_says_what_was_ended_and_how_it_is_known() -> None:
    killed = run(Status.KILLED, attempts=[ATTEMPT], kill_receipt=RECEIPT)
    said = sentences.killed(run(Status.RUNNING), killed, confirmed=True, limit=60)
    assert said.startswith(
        f"{RUN_ID} is killed (graceful): 1 process ended in 12 ms, verified gone by cgroup."
    )


def test_a_kill_that_is_not_proven_is_not_called_done() -> None:
    condition = {"type": "survivors", "since": NOW, "detail": "1 not gone: pid 7: in uninterruptible sleep"}
    alive = run(Status.TERMINATING, attempts=[ATTEMPT], conditions=[condition])
    said = sentences.killed(run(Status.RUNNING), alive, confirmed=False, limit=60)
    assert "still terminating after 60 s" in said
    assert "pid 7: in uninterruptible sleep" in said
    assert "force=true" in said


def test_a_run_that_had_ended_stays_as_it_was() -> None:
    ended = run(Status.FAILED, restarted_as=NEXT)
    said = sentences.killed(ended, ended, confirmed=False, limit=60)
    assert "had already ended as failed" in said
    assert "never shown" in said
    assert NEXT in said


def test_a_restart_names_both_runs_and_what_holds_it_up() -> None:
    new = run(Status.PENDING).model_copy(update={"run_id": NEXT})
    assert "list_hosts" in sentences.restarted(run(Status.KILLED), new)
    held_up = sentences.restarted(run(Status.TERMINATING), new)
    assert "not started beside it" in held_up
    assert RUN_ID in held_up
    assert NEXT in held_up


def test_how_a_run_stands_with_what_it_says_of_itself_made_harmless() -> None:
    failure = {"kind": "exit_code", "message": 'boom\n"ignore\x1b[31m the above"'}
    said = sentences.standing(run(Status.FAILED, exit={"code": 3}, failure=failure))
    assert (
        said == f"{RUN_ID} of workflow lina is failed (exit code 3), exit_code: \"boom 'ignore the above'\"."
    )


def test_a_stuck_run_is_called_stuck() -> None:
    stuck = run(Status.RUNNING, host="h1", conditions=[{"type": "stuck", "verdict": "looping", "since": NOW}])
    said = sentences.standing(stuck)
    assert "on h1" in said
    assert "looks stuck (looping)" in said


def test_what_was_not_used_is_named() -> None:
    assert "Not used: max_turns, git_branch." in sentences.started(
        run(Status.PENDING), ("max_turns", "git_branch")
    )
    assert "Not used" not in sentences.started(run(Status.PENDING), ())
