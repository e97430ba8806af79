"""What a test has left behind on this machine: processes, zombies, cgroups, mounts, sockets.

Everything of a test names the test's directory, or belongs to an agent whose home lies in it; so what others do on the
machine at the same time is not looked at.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from agent.process.kernel import read_head, read_stat
from agent.process.procfs import pids

_ENVIRON_BYTES = 1 << 20


def left(place: Path) -> list[str]:
    """One line for each thing that is still there."""
    return [*_processes(place), *_zombies(), *_cgroups(place), *_mounts(place), *_sockets(place)]


def _processes(place: Path) -> Iterator[str]:
    mine = os.fsencode(place)
    homes = {run.name.encode() for run in place.rglob("run_*") if run.is_dir()}
    for pid in pids():
        if pid == os.getpid():
            continue
        title = read_head(f"/proc/{pid}/cmdline")
        named = mine in title or mine in read_head(f"/proc/{pid}/environ", _ENVIRON_BYTES)
        if named or any(run in title for run in homes):
            yield f"process {pid}: {title.replace(bytes(1), b' ').decode(errors='replace')}"


def _zombies() -> Iterator[str]:
    """Children of this process that have ended and that nobody waits for."""
    for pid in pids():
        stat = read_stat(pid)
        if stat is not None and stat.state == "Z" and stat.ppid == os.getpid():
            yield f"zombie {pid}: {stat.name}"


def _cgroups(place: Path) -> Iterator[str]:
    """Those of the agents whose homes lie in the place."""
    mine = {namespace(lock.parent) for lock in place.rglob("lock") if lock.parent.name == "agent"}
    for mount in _mount_points({"cgroup", "cgroup2"}) if mine else ():
        for directory, names, _ in os.walk(mount):
            yield from (f"cgroup {directory}/{name}" for name in names if name in mine)


def namespace(home: Path) -> str:
    """The name of the cgroup that holds all of an agent's; as the launcher makes it."""
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]


def _mounts(place: Path) -> Iterator[str]:
    yield from (f"mount {mount}" for mount in _mount_points(None) if mount.is_relative_to(place))


def _mount_points(kinds: set[str] | None) -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, rest = line.partition(" - ")
        if kinds is None or rest.split()[0] in kinds:
            yield Path(fields.split()[4].encode().decode("unicode_escape"))


def _sockets(place: Path) -> Iterator[str]:
    yield from (f"socket {file}" for file in place.rglob("*") if file.is_socket())
