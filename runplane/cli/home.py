"""The home: the directory that holds everything one system on this machine keeps (``RUNPLANE_HOME``, 0700).

::

    endpoint.json   0600  how to reach a running system; there only while `up` runs
    up.lock               held by `up` for as long as it lives
    token           0600  the operator's first token
    host_id               the id under which this machine's agent joined
    nats/                 the broker: nats.conf, credentials.json (0600), jetstream/
    control_plane/        the read model
    agent/                the journal and the run directories
    logs/                 what each part printed

Files with secrets are written beside their place, fsynced, and renamed, so that a reader sees the old or the new.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runplane.cli.problem import Problem

PARTS = ("nats", "control_plane", "agent")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What ``endpoint.json`` says. ``nats_url`` carries its credentials; ``pids`` lacks parts that are not ours."""

    url: str
    token: str
    nats_url: str
    pids: Mapping[str, int]
    up_pid: int
    up_start_time: int
    host_id: str


@dataclass(frozen=True, kw_only=True)
class Home:
    """Paths of one home. Nothing is created before ``create``."""

    path: Path

    @property
    def endpoint_file(self) -> Path:
        """Where a running system says how to reach it."""
        return self.path / "endpoint.json"

    @property
    def lock_file(self) -> Path:
        """Held by `up`."""
        return self.path / "up.lock"

    @property
    def token_file(self) -> Path:
        """The operator's first token."""
        return self.path / "token"

    @property
    def host_id_file(self) -> Path:
        """The id under which this machine's agent joined."""
        return self.path / "host_id"

    @property
    def nats(self) -> Path:
        """The broker's directory."""
        return self.path / "nats"

    @property
    def logs(self) -> Path:
        """What each part printed."""
        return self.path / "logs"

    def create(self) -> None:
        """Make the directory and those that `up` itself uses; others make their own."""
        for directory in (self.path, self.nats, self.logs):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                directory.chmod(0o700)
            except OSError as error:
                raise Problem(
                    f"the home {directory} cannot be used: {error.strerror}",
                    hint="choose another with --home or RUNPLANE_HOME",
                ) from error

    def token(self) -> str:
        """The token of this home; made at the first call."""
        if self.token_file.exists():
            return self.token_file.read_text().strip()
        token = f"rp_{secrets.token_urlsafe(32)}"
        write_private(self.token_file, f"{token}\n")
        return token

    def read_endpoint(self) -> Endpoint | None:
        """What a running (or hard-killed) `up` left; None where there is no file or none that can be read."""
        try:
            found: dict[str, Any] = json.loads(self.endpoint_file.read_text())
            return Endpoint(
                url=str(found["url"]),
                token=str(found["token"]),
                nats_url=str(found["nats_url"]),
                pids={str(name): int(pid) for name, pid in found["pids"].items()},
                up_pid=int(found["up_pid"]),
                up_start_time=int(found["up_start_time"]),
                host_id=str(found["host_id"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write_endpoint(self, endpoint: Endpoint) -> None:
        """Replace the file."""
        write_private(self.endpoint_file, json.dumps(asdict(endpoint), indent=2) + "\n")

    def remove_endpoint(self) -> None:
        """Say that nothing runs here."""
        self.endpoint_file.unlink(missing_ok=True)


def find_home(given: str | Path | None = None) -> Home:
    """The home that was given, else ``RUNPLANE_HOME``, else ``~/.runplane``."""
    named = given or os.environ.get("RUNPLANE_HOME") or "~/.runplane"
    return Home(path=Path(named).expanduser().absolute())


def write_private(path: Path, text: str) -> None:
    """Replace a file (0600) in one step and make it durable."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
