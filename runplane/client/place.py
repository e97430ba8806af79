"""Where the control plane is, and with which token: ``RUNPLANE_URL`` and ``RUNPLANE_TOKEN``, else ``endpoint.json``.

``up`` writes ``endpoint.json`` into the home (``RUNPLANE_HOME``, default ``~/.runplane``). A hard-killed ``up`` leaves
it behind: the file names the process, so that a left-over one is told from a system that is just starting a part again.
A token without a URL belongs to the system of the home; a URL without a token may still be a loopback whose token the
home has.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runplane.contract.errors import Unavailable

_START_TIME = 19  # field 22 of /proc/PID/stat, counted after the command name's closing parenthesis


@dataclass(frozen=True, kw_only=True)
class Place:
    """One control plane. ``is_supervised``: an ``up`` lives that starts it again when it dies."""

    url: str
    token: str = field(default="", repr=False)
    is_supervised: bool = False


def find_plane(home: str | Path | None = None) -> Place:
    """Where to go; a given ``home`` wins over the environment. :class:`Unavailable` says what to type."""
    path = Path(home or os.environ.get("RUNPLANE_HOME") or "~/.runplane").expanduser().absolute()
    url = "" if home else os.environ.get("RUNPLANE_URL", "").strip()
    token = "" if home else os.environ.get("RUNPLANE_TOKEN", "").strip()
    endpoint = _read(path / "endpoint.json")
    if url:
        known = endpoint is not None and endpoint.get("url") == url.rstrip("/")
        return Place(
            url=url.rstrip("/"), token=token or (str(endpoint["token"]) if known and endpoint else "")
        )
    if endpoint is None:
        raise Unavailable(
            f"no system runs in {path} (there is no endpoint.json): start one with `runplane up --home {path}`",
            home=str(path),
        )
    return Place(
        url=str(endpoint["url"]).rstrip("/"),
        token=token or str(endpoint["token"]),
        is_supervised=_is_alive(endpoint.get("up_pid"), endpoint.get("up_start_time")),
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not {"url", "token"} <= found.keys():
        return None
    return found


def _is_alive(pid: Any, start_time: Any) -> bool:
    if not isinstance(pid, int) or not isinstance(start_time, int):
        return False
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[_START_TIME]) == start_time and fields[0] not in "ZX"
    except (OSError, ValueError, IndexError):
        return False
