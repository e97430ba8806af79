"""The file ``notifications.yaml`` in the home, and the secrets that it refers to.

It is read at the start, and again as soon as it has changed. One that cannot be used changes nothing: what was good
before stays in force, and ``problem`` (shown by the health check and ``runplane notify``) says what is wrong. Secrets
are looked up for each attempt, so a new value counts at once.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from control_plane.notifications.settings import REFERENCE, Notifications
from runplane.contract.errors import InvalidInput
from runplane.contract.explain import explain

log = logging.getLogger("control_plane.notifications")

FILE_NAME = "notifications.yaml"
MAX_FILE_BYTES = 256 * 1024
_MAX_SECRET_BYTES = 16 * 1024

Stamp = tuple[int, int, int]


class Configuration:
    """``path`` is where the file is, or would be."""

    def __init__(self, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        """Nothing is read before :meth:`current`."""
        self.path = home / FILE_NAME
        self.problem: str | None = None
        self._secrets = home / "secrets"
        self._environ = environ
        self._good = Notifications()
        self._stamp: Stamp | None = None

    def current(self) -> Notifications:
        """What is in force."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            self._read(is_there=stamp is not None)
        return self._good

    def resolve(self, value: str, field: str) -> str:
        """The value that a reference stands for; InvalidInput says where it is missing, never what it is."""
        match = REFERENCE.fullmatch(value)
        if match is None:
            return value
        kind, name = match.groups()
        if kind == "env":
            found = self._environ.get(name)
            if found:
                return found.strip()
            raise InvalidInput(f"{field}: start the control plane with the variable {name} set", field=field)
        file = self._secrets / name
        try:
            if file.stat().st_size <= _MAX_SECRET_BYTES:
                return file.read_text(encoding="utf-8").strip()
            why = "it is too large"
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInput(
            f"{field} refers to secret:{name}, which cannot be read ({why}): put the value into {file} (mode 0600)",
            field=field,
        )

    def _look(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self, *, is_there: bool) -> None:
        if not is_there:
            self._good, self.problem = Notifications(), None
            return
        try:
            self._good = load(self.path)
        except InvalidInput as error:
            self.problem = f"{self.path}: {error.message}"
            log.error("%s; what was in force before stays", self.problem)  # noqa: TRY400 — a person's mistake
        else:
            self.problem = None
            log.info("%d notification targets, from %s", len(self._good.targets), self.path)


def load(path: Path) -> Notifications:
    """Read a file; InvalidInput names each field, its value and what to write."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput(f"it has more than {MAX_FILE_BYTES} bytes: it holds targets, not data")
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"it is not YAML: {' '.join(str(error).split())[:300]}") from None
    if document is None:
        return Notifications()
    if isinstance(document, dict):
        _undo_yaml_truth(document)
    try:
        return Notifications.model_validate(document)
    except ValidationError as error:
        raise InvalidInput("; ".join(str(problem) for problem in explain(error, Notifications))) from None


def _undo_yaml_truth(document: dict[object, object]) -> None:
    """In YAML 1.1 the key ``on`` is the truth value."""
    targets = document.get("targets")
    for target in targets if isinstance(targets, list) else ():
        if isinstance(target, dict) and True in target:
            target["on"] = target.pop(True)
