import pytest

from control_plane.command_side.arguments import MAX_ARGUMENT_BYTES, check_arguments
from runplane.contract.errors import InvalidInput
from runplane.contract.spec import resolve
from runplane.contract.workflow import WorkflowDefinition

DEFINITION = WorkflowDefinition(
    name="lina",
    command=("lina", "--epic={epic}", "{note}"),
    env={"NOTE": "{note}"},
    params={"properties": {"epic": {}, "note": {}, "data": {}}},
)


def check(**params: str) -> None:
    check_arguments(DEFINITION, resolve(DEFINITION, 1, dict(params)))


def refused(**params: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check(**params)
    return caught.value


def test_what_the_kernel_takes_is_taken() -> None:
    check(epic="x" * (MAX_ARGUMENT_BYTES - len("--epic=")), note="n")
    check(epic="X-1")


def test_an_argument_that_is_too_long_names_its_parameter() -> None:
    error = refused(epic="x" * MAX_ARGUMENT_BYTES, note="n")
    assert error.fields["errors"][0]["field"] == "params.epic"
    assert "Put the value in a file" in error.message


def test_bytes_are_counted_not_characters() -> None:
    assert "bytes" in refused(epic="\u20ac" * (MAX_ARGUMENT_BYTES // 2)).message


def test_the_name_counts_in_the_environment() -> None:
    fits_as_argument = "x" * MAX_ARGUMENT_BYTES
    error = refused(epic="X-1", note=fits_as_argument)
    assert error.fields["errors"][0]["field"] == "params.note"


def test_a_nul_names_its_parameter() -> None:
    error = refused(epic="X\x001", note="n")
    assert error.fields["errors"] == [
        {
            "field": "params.epic",
            "value": None,
            "message": "params.epic holds a NUL character, which no program can be given: remove it",
        }
    ]


def test_a_configuration_that_no_record_can_hold_is_refused() -> None:
    assert refused(epic="X-1", data="x" * 5_000_000).error_code == "spec_too_large"


def test_all_arguments_together_are_bounded() -> None:
    many = WorkflowDefinition(
        name="many", command=("lina", *["{epic}"] * 20), params={"properties": {"epic": {}}}
    )
    with pytest.raises(InvalidInput, match="together"):
        check_arguments(many, resolve(many, 1, {"epic": "x" * 100_000}))
