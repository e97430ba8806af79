"""Where the cgroup hierarchies of this machine are mounted for writing, and our own place in each."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

MOUNTINFO = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")
_OPTIONS_COLUMN = 5


class Mount(NamedTuple):
    """One hierarchy. ``controllers``: of version 1, those that are mounted there."""

    path: Path
    controllers: frozenset[str]


def mounts(kind: Literal["cgroup", "cgroup2"], mountinfo: Path = MOUNTINFO) -> Iterator[Mount]:
    """Mounted for writing; ``cgroup`` is version 1."""
    with contextlib.suppress(OSError):
        for line in mountinfo.read_text(errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            fields, said = left.split(), right.split()
            if said[:1] == [kind] and "rw" in fields[_OPTIONS_COLUMN : _OPTIONS_COLUMN + 1].pop().split(","):
                path = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
                yield Mount(Path(path), frozenset(said[-1].split(",")))


def own_places(own: Path = OWN) -> dict[str, str]:
    """Our path by controller, in version 1; under the empty name in version 2."""
    places: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in own.read_text(errors="surrogateescape").splitlines():
            _, controllers, path = line.split(":", 2)
            places |= dict.fromkeys(controllers.split(","), path)
    return places


def place_in(mount: Mount, controller: str, own: Path = OWN) -> Path:
    """Our own place in a version 1 hierarchy, so that whatever bounds us bounds what we make there."""
    inner = mount.path / own_places(own).get(controller, "/").lstrip("/")
    return inner if ".." not in inner.parts and inner.is_dir() else mount.path
