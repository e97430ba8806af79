"""What the agent is told from outside, by its environment."""

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runplane.contract.errors import InvalidInput
from runplane.contract.ids import is_host_id, is_name

_DEFAULT_SLOTS = 64
_DEFAULT_KEEP_DAYS = 7
_DEFAULT_MOST_OUTPUT_MB = 10_240
MOST_BEAT_SECONDS = 60.0
"""A host that beats more rarely could not be told from a dead one within a reasonable time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The agent's settings. ``slots``: attempts at once; ``keep_runs_seconds``: how long a run's files stay;
    ``most_output_bytes``: what an attempt may print whose workflow says nothing of it; ``limits``: ``watch`` has the
    agent watch what the kernel could enforce.
    """

    home: Path
    nats_url: str
    host: str
    pools: tuple[str, ...]
    slots: int
    sample_seconds: float
    keep_runs_seconds: float
    most_output_bytes: int
    limits: Literal["auto", "watch"]
    mechanism: Literal["auto", "cgroup", "freezer", "subreaper"]

    @property
    def runs(self) -> Path:
        """Where run directories lie."""
        return self.home / "runs"

    @property
    def secrets(self) -> Path:
        """Where secret values may lie, one file each."""
        return self.home / "secrets"


def from_environment() -> Settings:
    """Read the settings; raises :class:`InvalidInput` naming the variable that is wrong."""
    base = Path(os.environ.get("RUNPLANE_HOME") or Path.home() / ".runplane").expanduser().absolute()
    host = os.environ.get("RUNPLANE_HOST_ID") or default_host_id()
    if not is_host_id(host):
        raise InvalidInput(
            f"RUNPLANE_HOST_ID={host!r} is not a host id: use lower-case letters, digits and dashes, 63 at most"
        )
    pools = tuple(filter(None, (p.strip() for p in os.environ.get("RUNPLANE_POOLS", "default").split(","))))
    for pool in pools:
        if not is_name(pool):
            raise InvalidInput(
                f"RUNPLANE_POOLS: {pool!r} is not a pool name: lower-case letters, digits, - and _"
            )
    nats_url = os.environ.get("RUNPLANE_NATS_URL", "")
    if not nats_url:
        raise InvalidInput(
            "RUNPLANE_NATS_URL is not set: give --nats-url, or take nats_url from endpoint.json"
        )
    return Settings(
        home=base / "agent",
        nats_url=nats_url,
        host=host,
        pools=pools,
        slots=_number("RUNPLANE_SLOTS", _DEFAULT_SLOTS, 1, 100_000),
        sample_seconds=_number("RUNPLANE_SAMPLE_MS", 2000, 100, int(MOST_BEAT_SECONDS * 1000)) / 1000,
        keep_runs_seconds=_number("RUNPLANE_KEEP_RUNS_DAYS", _DEFAULT_KEEP_DAYS, 0, 36_500) * 86_400.0,
        most_output_bytes=_number("RUNPLANE_MOST_OUTPUT_MB", _DEFAULT_MOST_OUTPUT_MB, 1, 100_000_000) * 2**20,
        limits=_limits(),
        mechanism=_mechanism(),
    )


def default_host_id() -> str:
    """This machine's name in the form of a host id."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")[:63].strip("-")
    return name or "localhost"


def _number(name: str, default: int, least: int, most: int) -> int:
    text = os.environ.get(name)
    if text is None or not text.strip():
        return default
    if not text.strip().isdigit() or not least <= int(text) <= most:
        raise InvalidInput(f"{name}={text!r} is not a whole number from {least} to {most}")
    return int(text)


def _mechanism() -> Literal["auto", "cgroup", "freezer", "subreaper"]:
    match os.environ.get("RUNPLANE_MECHANISM", "auto"):
        case "auto":
            return "auto"
        case "cgroup":
            return "cgroup"
        case "freezer":
            return "freezer"
        case "subreaper":
            return "subreaper"
        case other:
            raise InvalidInput(f"RUNPLANE_MECHANISM={other!r} is not one of auto, cgroup, freezer, subreaper")


def _limits() -> Literal["auto", "watch"]:
    match os.environ.get("RUNPLANE_LIMITS", "auto"):
        case "auto":
            return "auto"
        case "watch":
            return "watch"
        case other:
            raise InvalidInput(f"RUNPLANE_LIMITS={other!r} is not one of auto, watch")
