"""The tree of errors: each has a stable code, a status, and a message for a person."""

import pytest

from runplane.contract import errors
from runplane.contract.errors import CallerError, Conflict, NotFound, RunplaneError, SystemFault

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RunplaneError)]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_says_something_without_being_told_to(kind: type[RunplaneError]) -> None:
    error = kind()

    assert str(error) == error.message != ""
    assert error.error_code == kind.code


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in TREE}) == len(TREE)


@pytest.mark.parametrize("kind", TREE)
def test_the_callers_fault_and_ours_are_apart(kind: type[RunplaneError]) -> None:
    if issubclass(kind, CallerError):
        assert 400 <= kind.status < 500
    elif issubclass(kind, SystemFault):
        assert kind.status >= 500


def test_an_error_carries_its_fields_and_a_narrower_code() -> None:
    error = Conflict("run_1 has ended", code="already_ended", status_now="killed")

    assert (error.error_code, error.fields, error.status) == ("already_ended", {"status_now": "killed"}, 409)
    assert NotFound("no").error_code == "not_found"
