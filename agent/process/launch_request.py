"""What is asked of the launcher, checked before anything is touched, and how it is handed on."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.process.cgroup import Cgroup
from agent.process.errors import LaunchError
from agent.process.freezer import FreezerCgroup
from agent.process.limit_groups import Bounds, LimitGroups

_SPEC_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchRequest:
    """What to start, fully resolved. ``env`` is the whole environment; the attempt's own three names are added.

    ``params`` (no secrets) are left in ``spec.json`` for the workflow to read. ``lease``: how long it may go on without
    its agent, for its shim.
    """

    run_id: str
    attempt: int
    directory: Path
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    lease: Mapping[str, Any] | None = None


def check(request: LaunchRequest, env: Mapping[str, str]) -> None:
    """Refuse what no kernel would take, before anything is touched."""
    texts = {f"argv[{index}]": argument for index, argument in enumerate(request.argv)}
    texts |= {"cwd": request.cwd, "directory": str(request.directory)}
    texts |= {f"env.{name}": value for name, value in env.items()}
    texts |= {f"env name {name!r}": name for name in env}
    if not request.argv or not request.argv[0]:
        raise _bad("argv[0]", "", "the command is empty; give `command` a program")
    for name, value in texts.items():
        if "\0" in value:
            raise _bad(
                name, value.replace("\0", "\\0"), "it has a NUL character, which no program can be given"
            )
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise _bad(name, value, "it is not valid text; remove the lone surrogates") from None
    for name in env:
        if not name or "=" in name:
            raise _bad("env", name, "a name in the environment may be neither empty nor contain '='")
    if sum(map(len, texts.values())) > _SPEC_BYTES:
        raise LaunchError(
            kind="argument_too_long",
            field="argv",
            value=request.argv[0],
            message="arguments and environment have more than 16 MiB; pass long values by a file.",
        )


def _bad(field: str, value: str, problem: str) -> LaunchError:
    # Values of the environment may be secrets: they are named, never shown.
    shown = "(not shown)" if field.startswith("env.") else value
    error = LaunchError(kind="bad_argument", field=field, value=shown, message="")
    error.message = f"{field} cannot be used ({error.value!r}): {problem}."
    error.args = (error.message,)
    return error


def public_spec(request: LaunchRequest, env: Mapping[str, str]) -> dict[str, Any]:
    """What ``spec.json`` holds: all but the values of the environment, which may be secrets."""
    return {
        "run_id": request.run_id,
        "attempt": request.attempt,
        "argv": request.argv,
        "cwd": request.cwd,
        "params": request.params,
        "env_names": sorted(env),
    }


def whole_spec(
    request: LaunchRequest, env: Mapping[str, str], group: Cgroup | None, limits: LimitGroups
) -> bytes:
    """The line that the starter gets."""
    spec = {
        "run_id": request.run_id,
        "attempt": request.attempt,
        "directory": str(request.directory),
        "argv": request.argv,
        "cwd": request.cwd,
        "env": env,
        "cgroup": str(group.path) if group else None,
        "mechanism": "freezer" if isinstance(group, FreezerCgroup) else "cgroup",
        "limits": limits.as_json(),
        "lease": request.lease,
    }
    return json.dumps(spec).encode() + b"\n"
