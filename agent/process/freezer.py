"""One cgroup of the version 1 freezer for each attempt, where version 2 cannot be used.

Rules: it knows the members of a tree, stops them all at once, and so lets them be killed with nobody there to see it
and start another. A frozen process takes SIGKILL only when it is thawed. Version 1 tells of no change, so waiting for
the last member to be gone is looking again, within a bound; the members' own ends have been waited for by then.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

from agent.process.cgroup import Cgroup, CgroupRoot
from agent.process.hierarchies import MOUNTINFO, OWN, mounts, place_in
from agent.process.identity import identify, open_pidfd, send_signal
from agent.process.kernel import ZOMBIE_STATES, read_head, read_stat

_FREEZE_SECONDS = 0.05
_FREEZE_PAUSE_SECONDS = 0.001
_LOOK_SECONDS = 0.005


class FreezerCgroup(Cgroup):
    """The freezer cgroup of one attempt, and what is below it."""

    def kill(self) -> bool:
        """SIGKILL to every process in it, with all of them stopped meanwhile. False when they cannot be stopped."""
        if not self.freeze():
            return False
        try:
            deadline = time.monotonic() + _FREEZE_SECONDS
            # One in uninterruptible sleep keeps the whole from being frozen; the others stand still already.
            while not self.stands_still() and time.monotonic() < deadline:
                time.sleep(_FREEZE_PAUSE_SECONDS)
            for pid in self.members():
                _kill(pid)
        finally:
            self.thaw()
        return True

    def freeze(self) -> bool:
        """Stop every process in it, those it forks meanwhile included."""
        return self._write("freezer.state", b"FROZEN")

    def thaw(self) -> bool:
        """Let every process in it go on."""
        return self._write("freezer.state", b"THAWED")

    def is_frozen(self) -> bool:
        """Whether it was frozen by ``freeze`` (or by somebody else)."""
        return read_head(f"{self.path}/freezer.self_freezing").strip() == b"1"

    def is_populated(self) -> bool:
        """Whether a live process is in it or below it. Zombies do not count."""
        stats = (read_stat(pid) for pid in self.members())
        return any(stat is not None and stat.state not in ZOMBIE_STATES for stat in stats)

    async def wait_empty(self, limit: float) -> bool:
        """Look until no live process is in it, at most ``limit`` seconds."""
        deadline = time.monotonic() + limit
        while self.is_populated():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def stands_still(self) -> bool:
        """Whether every process in it stands still."""
        return read_head(f"{self.path}/freezer.state").strip() == b"FROZEN"


class FreezerRoot(CgroupRoot):
    """The place below which an agent's freezer cgroups lie."""

    @classmethod
    def find(cls, namespace: str, *, mountinfo: Path = MOUNTINFO, own: Path = OWN) -> "FreezerRoot | None":
        """The first freezer hierarchy where a cgroup can be made and removed; ``None`` when there is none."""
        for mount in mounts("cgroup", mountinfo):
            if "freezer" not in mount.controllers:
                continue
            root = cls(place_in(mount, "freezer", own) / "runplane" / namespace)
            probe = root.create("probe")
            if probe is None:
                continue
            usable = os.access(probe.path / "freezer.state", os.W_OK)
            if probe.remove() and usable:
                return root
        return None

    def create(self, name: str) -> FreezerCgroup | None:
        """A cgroup of this name, new or as it is; ``None`` when it cannot be made."""
        made = super().create(name)
        return FreezerCgroup(made.path) if made is not None else None


def _kill(pid: int) -> None:
    """A member cannot end while it stands still, so its number means no other."""
    identity = identify(pid)
    pidfd = open_pidfd(identity) if identity is not None else None
    if pidfd is None:
        return
    try:
        send_signal(pidfd, signal.SIGKILL)
    except PermissionError:
        return
    finally:
        os.close(pidfd)
