"""Limits that the kernel enforces: the attempt's place in the hierarchies of the controllers, version 1 or 2.

Rules: a place is made only for an attempt that has such a limit, since joining a version 1 hierarchy makes the kernel
wait 10 to 30 ms. With version 2 it is the attempt's own cgroup; with version 1 a directory below our own place in each
hierarchy, so that whatever bounds us bounds it too. What cannot be enforced here is left out, and the agent watches it
instead. A place is removed with the attempt; it holds nobody by then.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.process.cgroup import Cgroup, make_place
from agent.process.hierarchies import MOUNTINFO, OWN, mounts, place_in
from agent.process.limit_events import reached

_PERIOD_MICROSECONDS = 100_000
_PROBES = 3
_LEVELS = 3  # namespace, "runplane", and where that lies
_CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What an attempt may use: bytes, processes, cores; None where it is not bounded."""

    memory: int | None = None
    processes: int | None = None
    cpus: float | None = None

    @property
    def controllers(self) -> tuple[str, ...]:
        """The controllers that could enforce them."""
        asked = {"memory": self.memory, "pids": self.processes, "cpu": self.cpus}
        return tuple(name for name in _CONTROLLERS if asked[name] is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitGroups:
    """The places of one attempt, by controller. ``unified``: the controllers of its own cgroup of version 2."""

    joined: Mapping[str, Path] = field(default_factory=dict)
    group: Path | None = None
    unified: tuple[str, ...] = ()

    @property
    def enforced(self) -> frozenset[str]:
        """The controllers that enforce a limit."""
        return frozenset(self.joined) | frozenset(self.unified)

    @property
    def places(self) -> dict[str, str]:
        """Where each controller counts."""
        unified = dict.fromkeys(self.unified, str(self.group)) if self.group is not None else {}
        return {controller: str(place) for controller, place in self.joined.items()} | unified

    def reached(self) -> frozenset[str]:
        """The controllers whose limit was reached so far."""
        return frozenset(reached(self.places))

    def remove(self) -> None:
        """Remove what was made for the attempt; its own cgroup is removed by whoever made that."""
        for place in set(self.joined.values()):
            with contextlib.suppress(OSError):
                place.rmdir()

    def as_json(self) -> dict[str, Any]:
        """For the starter, and for ``process.json``."""
        joined = {controller: str(place) for controller, place in self.joined.items()}
        return {"joined": joined, "unified": list(self.unified)}

    @classmethod
    def of_json(cls, raw: Any, group: Path | None) -> "LimitGroups":
        """As an earlier agent had made them; empty where there is nothing of the kind."""
        raw = raw if isinstance(raw, dict) else {}
        joined = {str(name): Path(place) for name, place in raw.get("joined", {}).items()}
        return cls(joined=joined, group=group, unified=tuple(map(str, raw.get("unified", ()))))


class LimitHierarchies:
    """Where this agent may make places, by controller. ``namespace`` keeps apart the agents of one machine."""

    def __init__(self, roots: Mapping[str, Path], namespace: str) -> None:
        """Use :meth:`find`."""
        self._roots = dict(roots)
        self._namespace = namespace

    @classmethod
    def find(cls, namespace: str, *, mountinfo: Path = MOUNTINFO, own: Path = OWN) -> "LimitHierarchies":
        """The version 1 hierarchies in which a place can be made."""
        roots: dict[str, Path] = {}
        for mount in mounts("cgroup", mountinfo):
            for controller in set(_CONTROLLERS) & mount.controllers - roots.keys():
                root = place_in(mount, controller, own) / "runplane" / namespace
                if _is_usable(root):
                    roots[controller] = root
        return cls(roots, namespace)

    @property
    def controllers(self) -> frozenset[str]:
        """What can be enforced by version 1."""
        return frozenset(self._roots)

    def make(self, name: str, bounds: Bounds, unified: Cgroup | None) -> LimitGroups:
        """The places for one attempt, with its bounds set. ``unified``: its own cgroup, where it has one."""
        unified_by: list[str] = []
        joined: dict[str, Path] = {}
        if unified is not None and bounds.controllers:
            _enable(unified.path, bounds.controllers)
        for controller in bounds.controllers:
            if unified is not None and _write_all(unified.path, _unified_settings(controller, bounds)):
                unified_by.append(controller)
                continue
            root = self._roots.get(controller)
            if root is None:
                continue
            place = root / name
            if make_place(place) and _write_all(place, _settings(controller, bounds)):
                joined[controller] = place
            else:
                with contextlib.suppress(OSError):
                    place.rmdir()
        return LimitGroups(
            joined=joined, group=unified.path if unified is not None else None, unified=tuple(unified_by)
        )

    def remove_unused(self) -> None:
        """Remove what no attempt is in: places of attempts that ended while nobody was there, and the roots."""
        for root in self._roots.values():
            with contextlib.suppress(OSError):
                for place in root.iterdir():
                    with contextlib.suppress(OSError):
                        place.rmdir()
            _remove_empty(root)


def _settings(controller: str, bounds: Bounds) -> dict[str, tuple[str, bool]]:
    """Files of version 1 and what they take; True where the limit stands or falls with it."""
    match controller:
        case "memory":
            # The second bounds memory and swap together; a kernel without swap accounting does not have it.
            return {
                "memory.limit_in_bytes": (str(bounds.memory), True),
                "memory.memsw.limit_in_bytes": (str(bounds.memory), False),
            }
        case "pids":
            return {"pids.max": (str(bounds.processes), True)}
        case _:
            return {
                "cpu.cfs_period_us": (str(_PERIOD_MICROSECONDS), True),
                "cpu.cfs_quota_us": (str(_quota(bounds)), True),
            }


def _unified_settings(controller: str, bounds: Bounds) -> dict[str, tuple[str, bool]]:
    match controller:
        case "memory":
            return {
                "memory.max": (str(bounds.memory), True),
                "memory.swap.max": ("0", False),
                "memory.oom.group": ("1", False),
            }
        case "pids":
            return {"pids.max": (str(bounds.processes), True)}
        case _:
            return {"cpu.max": (f"{_quota(bounds)} {_PERIOD_MICROSECONDS}", True)}


def _enable(group: Path, controllers: Iterable[str]) -> None:
    """Hand the controllers down to the attempt's cgroup, as far as its parents have them and may."""
    for directory in reversed(group.parents[:_LEVELS]):
        for controller in controllers:
            with contextlib.suppress(OSError):
                (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _quota(bounds: Bounds) -> int:
    return max(1000, round((bounds.cpus or 1) * _PERIOD_MICROSECONDS))


def _write_all(place: Path, settings: Mapping[str, tuple[str, bool]]) -> bool:
    """False when one that is needed was not taken. A file that is not there is not made."""
    for name, (value, needed) in settings.items():
        file = place / name
        try:
            if not file.exists():
                raise FileNotFoundError(name)
            file.write_text(value)
        except OSError:
            if needed:
                return False
    return True


def _is_usable(root: Path) -> bool:
    """Whether a place can be made there; another agent that tries at the same moment may take ours away once."""
    return any(_can_be_made(root) for _ in range(_PROBES))


def _can_be_made(root: Path) -> bool:
    probe = root / f"probe-{os.getpid()}"
    if not make_place(probe):
        return False
    try:
        usable = (probe / "cgroup.procs").exists()
        probe.rmdir()
    except OSError:
        return False
    _remove_empty(root)
    return usable


def _remove_empty(root: Path) -> None:
    for directory in (root, root.parent):
        with contextlib.suppress(OSError):
            directory.rmdir()
