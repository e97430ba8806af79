"""The environment of an attempt: a clean base, what the workflow asks for, secrets resolved here, and the run's tag.

Called by the supervisor. A secret is read from ``RUNPLANE_SECRET_<NAME>`` of the agent's own environment or from the
file ``secrets/<NAME>`` of the agent's home; its value goes into the process's environment and nowhere else.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runplane.contract.errors import InvalidInput
from runplane.contract.spec import RunSpec
from runplane.contract.workflow import SECRET_REFERENCE
from runplane.sdk_path import sdk_path

MASK = "•••"
_PASSED_ON = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")


def build(spec: RunSpec, *, run_id: str, attempt: int, directory: Path, secrets: Path) -> dict[str, str]:
    """The whole environment of one attempt; raises :class:`InvalidInput` for a secret that is not there."""
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    env.setdefault("LANG", "C.UTF-8")
    for name, value in spec.env.items():
        env[name] = resolve_secret(value, f"env.{name}", secrets)
    if spec.sdk:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(sdk_path()), env.get("PYTHONPATH"))))
    env["RUNPLANE_RUN_ID"] = run_id
    env["RUNPLANE_ATTEMPT"] = str(attempt)
    env["RUNPLANE_DIR"] = str(directory)
    return env


def secrets_masked(spec: RunSpec, secrets: Path) -> Callable[[str], str]:
    """A function that takes the run's secrets out of a text, as far as this host still has them."""
    values = []
    for name, value in spec.env.items():
        if SECRET_REFERENCE.fullmatch(value):
            with contextlib.suppress(InvalidInput):
                values.append(resolve_secret(value, f"env.{name}", secrets))
    hidden = sorted(filter(None, values), key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, MASK)
        return text

    return mask


def masked_value(value: Any, mask: Callable[[str], str]) -> Any:
    """A JSON value with the mask over every text in it."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(str(name)): masked_value(item, mask) for name, item in value.items()}
    if isinstance(value, list):
        return [masked_value(item, mask) for item in value]
    return value


def names_secrets(spec: RunSpec) -> bool:
    """Whether the run is given any secret."""
    return any(SECRET_REFERENCE.fullmatch(value) for value in spec.env.values())


def resolve_secret(value: str, field: str, secrets: Path) -> str:
    """The value itself, or what the reference ``secret:NAME`` stands for on this host."""
    match = SECRET_REFERENCE.fullmatch(value)
    if match is None:
        return value
    name = match[1]
    from_environment = os.environ.get(f"RUNPLANE_SECRET_{name}")
    if from_environment is not None:
        return from_environment
    file = secrets / name
    try:
        return file.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise InvalidInput(
            f"{field} refers to secret:{name}, which this host does not have ({error.strerror}): put the value into "
            f"{file} (mode 0600) or start the agent with RUNPLANE_SECRET_{name} set",
            code="secret_missing",
        ) from None
