"""The errors of this package.

::

    RunplaneError
    ├── RunDirectoryError      the run directory cannot be used
    │   └── TornFile           a file in it is not what was written there
    └── LaunchError            nothing was started; ``kind`` says why

A ``LaunchError`` is a promise: no process of the attempt runs, and none will.
"""

import errno
import os
from typing import Any, Literal

from runplane.contract.errors import RunplaneError

LaunchErrorKind = Literal[
    "already_launched",
    "argument_too_long",
    "bad_argument",
    "bad_working_directory",
    "command_not_found",
    "no_resources",
    "not_executable",
    "shim_failed",
]
_SHOWN = 120
_NO_RESOURCES = {
    errno.EAGAIN: "the limit on processes is reached",
    errno.ENOMEM: "there is not enough memory",
    errno.EMFILE: "the limit on open files is reached",
    errno.ENFILE: "the machine's limit on open files is reached",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
}


class RunDirectoryError(RunplaneError):
    """The run directory cannot be used."""

    code = "run_directory"


class TornFile(RunDirectoryError):
    """A file in the run directory is not what was written there."""

    code = "torn_file"


class LaunchError(RunplaneError):
    """Nothing was started."""

    code = "launch_failed"

    def __init__(self, *, kind: LaunchErrorKind, field: str, value: str, message: str) -> None:
        """``kind`` is for programs; ``field`` and ``value`` (shortened) say what was wrong; ``message`` what to do."""
        self.kind: LaunchErrorKind = kind
        self.field = field
        self.value = shorten(value)
        super().__init__(message, kind=kind, field=field, value=self.value)


def shorten(value: str) -> str:
    """At most 120 characters, said when cut, safe to print."""
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}… ({len(value)} characters)"
    return shown.encode("utf-8", "backslashreplace").decode()


def explain_launch_error(
    report: dict[str, Any], argv: tuple[str, ...], cwd: str, env: dict[str, str]
) -> LaunchError:
    """What the shim reported (``{errno, where}``) as an error that says what to do."""
    number, where = report.get("errno"), str(report.get("where"))
    reason = os.strerror(number) if isinstance(number, int) else "no reason given"
    if where == "already_launched":
        return already_launched(cwd)
    if number in _NO_RESOURCES:
        return LaunchError(
            kind="no_resources",
            field=where,
            value=reason,
            message=f"the process could not be started: {_NO_RESOURCES[number]} ({where}). "
            "Free some on this host (`runplane hosts`, `runplane doctor`) and start the run again.",
        )
    if where == "cwd":
        return LaunchError(
            kind="bad_working_directory",
            field="cwd",
            value=cwd,
            message=f"cannot enter the working directory {shorten(cwd)!r}: {reason}. "
            "Create it on this host or correct `workspace` in the workflow file.",
        )
    if where == "exec":
        return _explain_exec(number, reason, argv, cwd, env)
    return LaunchError(
        kind="shim_failed",
        field=where,
        value=reason,
        message=f"the process could not be set up at {where!r}: {reason}. See `runplane doctor` on this host.",
    )


def already_launched(directory: str) -> LaunchError:
    """The attempt has been started before: there is at most one tree for it."""
    return LaunchError(
        kind="already_launched",
        field="directory",
        value=directory,
        message=f"the attempt in {shorten(directory)!r} has been launched before, and an attempt has one process tree "
        "at most: adopt it, or launch the next attempt.",
    )


def _explain_exec(
    number: int | None, reason: str, argv: tuple[str, ...], cwd: str, env: dict[str, str]
) -> LaunchError:
    command = argv[0]
    if number == errno.E2BIG:
        index, longest = max(enumerate(argv), key=lambda item: len(item[1]))
        return LaunchError(
            kind="argument_too_long",
            field=f"argv[{index}]",
            value=longest,
            message=f"the arguments are longer than the kernel takes; argv[{index}] alone has {len(longest)} "
            "characters (the usual bounds are 128 KiB for one and 2 MiB for all, the environment included). "
            "Pass long values by a file.",
        )
    if number in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(os.path.join(cwd, command)) and "/" in command:  # noqa: PTH110, PTH118 - relative to cwd
            return LaunchError(
                kind="not_executable",
                field="argv[0]",
                value=command,
                message=f"{shorten(command)!r} exists, but the interpreter named in its first line does not. "
                "Install it on this host or correct that line.",
            )
        looked = "" if "/" in command else f" on PATH={shorten(env.get('PATH', os.defpath))!r}"
        return LaunchError(
            kind="command_not_found",
            field="argv[0]",
            value=command,
            message=f"the command {shorten(command)!r} was not found{looked}. "
            "Install it on this host, or correct `command` (or PATH under `env`) in the workflow file.",
        )
    return LaunchError(
        kind="not_executable",
        field="argv[0]",
        value=command,
        message=f"{shorten(command)!r} cannot be executed: {reason}. Make it executable (chmod +x) with a first line "
        "such as #!/bin/sh, or put its interpreter first in `command`.",
    )
