"""Is there room: for the home, for the read model, and for the store of the broker that `runplane up` starts."""

import shutil
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from control_plane.context import Context
from control_plane.health.check import Check, degraded, ok

SCARCE_BYTES = 1 * 2**30
_MIB = 2**20


class Place(NamedTuple):
    """A directory that is written to, and the disk it lies on."""

    name: str
    path: Path
    free_bytes: int
    total_bytes: int


def places(context: Context) -> list[Place]:
    """Where this control plane writes, and the store of the broker that `up` started beside it."""
    settings = context.settings
    found = [("home", settings.home), ("read_model", settings.directory)]
    store = settings.home / "nats"
    if (store / "jetstream").is_dir():
        found.append(("broker_store", store))
    return [_place(name, path) for name, path in found if path.is_dir()]


async def disk(context: Context) -> Check:
    """The scarcest of the disks that anything is written to."""
    found = places(context)
    scarcest = min(found, key=lambda place: place.free_bytes)
    figures: dict[str, JsonValue] = {
        "free_bytes": scarcest.free_bytes,
        "total_bytes": scarcest.total_bytes,
        "places": {
            place.name: {
                "path": str(place.path),
                "free_bytes": place.free_bytes,
                "total_bytes": place.total_bytes,
            }
            for place in found
        },
        "read_model_bytes": _size_of(context.settings.read_model),
    }
    if context.bus.connected:
        figures["stored_bytes"] = dict(await context.bus.stored_bytes())
    sizes = f"{scarcest.free_bytes // _MIB} MiB free of {scarcest.total_bytes // _MIB} MiB"
    detail = f"{sizes} for the {scarcest.name.replace('_', ' ')}, in {scarcest.path}"
    if scarcest.free_bytes >= SCARCE_BYTES:
        return ok("disk", detail, **figures)
    path = scarcest.path
    todo = f"make room where {path} lies: nothing is accepted when it is full. `du -sh {path}/*` shows what takes it"
    return degraded("disk", detail, todo, **figures)


def _place(name: str, path: Path) -> Place:
    usage = shutil.disk_usage(path)
    return Place(name, path, usage.free, usage.total)


def _size_of(file: Path) -> int:
    """With what SQLite keeps beside it."""
    found = 0
    for suffix in ("", "-wal"):
        path = file.with_name(file.name + suffix)
        found += path.stat().st_size if path.exists() else 0
    return found
