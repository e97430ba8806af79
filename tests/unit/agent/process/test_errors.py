import errno

import pytest

from agent.process.errors import LaunchError, already_launched, explain_launch_error, shorten


@pytest.mark.parametrize(
    ("number", "where", "kind", "field"),
    [
        (errno.ENOENT, "exec", "command_not_found", "argv[0]"),
        (errno.ENOTDIR, "exec", "command_not_found", "argv[0]"),
        (errno.EACCES, "exec", "not_executable", "argv[0]"),
        (errno.ENOEXEC, "exec", "not_executable", "argv[0]"),
        (errno.E2BIG, "exec", "argument_too_long", "argv[2]"),
        (errno.ENOENT, "cwd", "bad_working_directory", "cwd"),
        (errno.EACCES, "cwd", "bad_working_directory", "cwd"),
        (errno.EAGAIN, "fork", "no_resources", "fork"),
        (errno.ENOMEM, "exec", "no_resources", "exec"),
        (errno.ENOSPC, "process.json", "no_resources", "process.json"),
        (errno.EIO, "directory", "shim_failed", "directory"),
        (None, "already_launched", "already_launched", "directory"),
        (None, "abandoned", "shim_failed", "abandoned"),
    ],
)
def test_every_report_becomes_a_kind(number: int | None, where: str, kind: str, field: str) -> None:
    error = explain_launch_error(
        {"errno": number, "where": where}, ("prog", "a", "b" * 999), "/no/such", {"PATH": "/bin"}
    )
    assert (error.kind, error.field) == (kind, field)
    assert error.message
    assert len(error.value) < 200


def test_long_and_unprintable_values_are_shortened() -> None:
    assert shorten("short") == "short"
    assert shorten("x" * 5000).startswith("x" * 120 + "… (5000")
    assert shorten("a\ud800") == "a\\ud800"


def test_it_says_what_to_do() -> None:
    error = already_launched("/runs/1")
    assert isinstance(error, LaunchError)
    assert str(error) == error.message
    assert "adopt" in error.message
