"""The lifecycle table is closed: every status can be reached, every ending is final, every name exists."""

from runplane.contract.envelope import COMMAND_TYPES, TYPES
from runplane.contract.run import ENDED, OPEN, Status
from runplane.core.status import ABSENT, DECLARED, NEUTRAL, PREVIOUS, TABLE, follow, is_expected

_ABOUT_OTHERS = {"DrainHost", "UndrainHost", "HostJoined", "HostLeft", "WorkflowApplied", "WorkflowDeleted"}


def test_every_status_has_a_row() -> None:
    assert set(TABLE) == {ABSENT, *Status}


def test_every_status_can_be_reached() -> None:
    reached: set[str] = set()
    frontier = {ABSENT}
    while frontier:
        reached |= frontier
        targets = {str(target) for status in frontier for target in TABLE[status].values()}
        targets |= {"completed", "failed"} if DECLARED in targets else set()
        frontier = targets - reached - {DECLARED, PREVIOUS}
    assert reached == {ABSENT, *Status}


def test_from_every_open_status_an_ending_can_be_reached() -> None:
    for status in OPEN:
        assert any(target in ENDED or target == DECLARED for target in TABLE[status].values()), status


def test_an_ending_has_no_way_out() -> None:
    assert [status for status in ENDED if TABLE[status]] == []


def test_only_an_attempt_that_failed_leads_back_to_pending() -> None:
    back = {name for s in Status for name, target in TABLE[s].items() if target == Status.PENDING}
    assert back == {"AttemptFailed"}


def test_every_record_that_is_named_exists_and_every_one_of_a_run_is_named() -> None:
    named = {name for row in TABLE.values() for name in row} | NEUTRAL
    assert named == set(TYPES) - _ABOUT_OTHERS


def test_only_a_run_nobody_asked_for_moves_by_an_order() -> None:
    assert set(TABLE[ABSENT]) == {"StartRun", "RestartRun"}
    assert [s for s in Status if set(TABLE[s]) & set(COMMAND_TYPES)] == []


def test_an_outcome_can_be_declared_of_every_open_run() -> None:
    assert {status for status in Status if TABLE[status].get("OutcomeOverridden") == DECLARED} == OPEN


def test_a_record_that_the_table_does_not_name_moves_nothing() -> None:
    assert follow(Status.RUNNING, "ProgressReported") is None
    assert is_expected(Status.RUNNING, "ProgressReported")
    assert not is_expected(Status.RUNNING, "RunClaimed")
    assert not is_expected(None, "ProgressReported")
    assert follow(None, "StartRun") is Status.PENDING
