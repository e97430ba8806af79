"""One cgroup (version 2) for each attempt, wherever a writable hierarchy is found; no controllers are needed.

Rules: a cgroup is used to know the members of a tree, to stop it and to kill it as a whole. Everything here answers
``None`` or False where the kernel, the mount or the permissions do not allow it; the caller then works without. A
cgroup that does not exist any more has no members: the kernel removes none that has.
"""

import asyncio
import contextlib
import hashlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

from agent.process.hierarchies import MOUNTINFO, OWN, mounts
from agent.process.kernel import read_head

_PROCS_BYTES = 1 << 20
_MAKE_TRIES = 5


class Cgroup:
    """The cgroup of one attempt, and what is below it."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched before the first call."""
        self.path = path

    def members(self) -> set[int]:
        """The pids of every process in it and below it. Those of other pid namespaces have no number here."""
        pids: set[int] = set()
        for directory in self._directories():
            pids.update(int(pid) for pid in read_head(f"{directory}/cgroup.procs", _PROCS_BYTES).split())
        return pids - {0}

    def kill(self) -> bool:
        """SIGKILL to every process in it, forks under way included. False when it cannot be done this way."""
        return self._write("cgroup.kill", b"1")

    def freeze(self) -> bool:
        """Stop every process in it, without their notice."""
        return self._write("cgroup.freeze", b"1")

    def thaw(self) -> bool:
        """Let every process in it go on."""
        return self._write("cgroup.freeze", b"0")

    def is_frozen(self) -> bool:
        """Whether it was frozen by ``freeze`` (or by somebody else)."""
        return read_head(f"{self.path}/cgroup.freeze").strip() == b"1"

    def stands_still(self) -> bool:
        """Whether the kernel says that every process in it is stopped, after :meth:`freeze`."""
        return b"frozen 1" in read_head(f"{self.path}/cgroup.events")

    def is_populated(self) -> bool:
        """Whether a live process is in it or below it. Zombies do not count."""
        return b"populated 1" in read_head(f"{self.path}/cgroup.events")

    async def wait_empty(self, limit: float) -> bool:
        """Wait until no live process is in it, at most ``limit`` seconds; woken by the kernel, not by time."""
        try:
            events = os.open(self.path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return not self.is_populated()
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        # The loop watches for input only, and the kernel announces a change as urgent data: so one epoll in another.
        watch = select.epoll()
        try:
            watch.register(events, select.EPOLLPRI)
            loop.add_reader(watch.fileno(), changed.set)
            async with asyncio.timeout(limit):
                while True:
                    changed.clear()
                    watch.poll(0)
                    os.lseek(events, 0, os.SEEK_SET)
                    if b"populated 1" not in os.read(events, 4096):
                        return True
                    await changed.wait()
        except TimeoutError:
            return not self.is_populated()
        except OSError:
            return True  # removed while we read it
        finally:
            loop.remove_reader(watch.fileno())
            watch.close()
            os.close(events)

    def remove(self) -> bool:
        """Remove it with everything below. False when something lives in it, or it may not be removed."""
        for directory in reversed(list(self._directories())):
            with contextlib.suppress(OSError):
                directory.rmdir()
        return not self.path.exists()

    def _directories(self) -> Iterator[Path]:
        """It and all below it, parents first."""
        for directory, _, _ in os.walk(self.path):
            yield Path(directory)

    def _write(self, name: str, content: bytes) -> bool:
        try:
            descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, content)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def namespace_of(home: Path) -> str:
    """What keeps apart the cgroups of agents on one machine: made from the agent's home."""
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]


def make_place(path: Path) -> bool:
    """Make it with all above it, which a shim may be removing at the same moment; False when that cannot be done."""
    for _ in range(_MAKE_TRIES):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return True
    return False


class CgroupRoot:
    """The place below which an agent's cgroups lie: ``<mount>/runplane/<namespace>``."""

    def __init__(self, path: Path) -> None:
        """Use ``find`` instead."""
        self.path = path

    @classmethod
    def find(cls, namespace: str, *, mountinfo: Path = MOUNTINFO, own: Path = OWN) -> "CgroupRoot | None":
        """The first place where a cgroup can be made, killed and removed; ``None`` when there is none."""
        for mount, _ in mounts("cgroup2", mountinfo):
            for base in (mount, *_own_and_above(mount, own)):
                root = cls(base / "runplane" / namespace)
                probe = root.create("probe")
                if probe is None:
                    continue
                usable = (probe.path / "cgroup.kill").exists() and os.access(base / "cgroup.procs", os.W_OK)
                if probe.remove() and usable:
                    return root
        return None

    def create(self, name: str) -> Cgroup | None:
        """A cgroup of this name, new or as it is; ``None`` when it cannot be made."""
        path = self.path / name
        return Cgroup(path) if make_place(path) else None

    def remove_unused(self) -> None:
        """Remove the place itself when no attempt has a cgroup in it; another start makes it again."""
        for directory in (self.path, self.path.parent):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _own_and_above(mount: Path, own: Path) -> Iterator[Path]:
    """Our own cgroup and those above it: where an unprivileged agent may have been given a part of the hierarchy."""
    with contextlib.suppress(OSError):
        for line in own.read_text(errors="surrogateescape").splitlines():
            if line.startswith("0::/"):
                path = Path(line[len("0::/") :])
                yield from (
                    mount / part
                    for part in (path, *path.parents)
                    if part != Path() and ".." not in part.parts
                )
