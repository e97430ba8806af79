"""Is there room: for the home, for the read model, and for the store of the broker that `runplane up` starts."""

import shutil
from pathlib import Path

from pydantic import JsonValue

from control_plane.context import Context
from control_plane.health.check import Check, degraded, ok

SCARCE_BYTES = 1 * 2**30
_MIB = 2**20


async def disk(context: Context) -> Check:
    """The scarcest of the file systems that anything is written to."""
    places = [_place(what, path) for what, path in _places(context)]
    scarcest = min(places, key=lambda place: place[1])
    what, free, total, path = scarcest
    figures: dict[str, JsonValue] = {
        "free_bytes": free,
        "total_bytes": total,
        "places": {
            what: {"path": str(path), "free_bytes": free, "total_bytes": total}
            for what, free, total, path in places
        },
        "read_model_bytes": _size_of(context.settings.read_model),
    }
    if context.bus.connected:
        figures["stored_bytes"] = dict(await context.bus.stored_bytes())
    detail = f"{free // _MIB} MiB free of {total // _MIB} MiB for the {what}, in {path}"
    if free >= SCARCE_BYTES:
        return ok("disk", detail, **figures)
    todo = f"make room where {path} lies: nothing is accepted when it is full. `du -sh {path}` shows what takes it"
    return degraded("disk", detail, todo, **figures)


def _places(context: Context) -> list[tuple[str, Path]]:
    settings = context.settings
    places = [("home", settings.home), ("read model", settings.directory)]
    embedded = settings.home / "nats"
    if (embedded / "jetstream").is_dir():
        places.append(("broker's store", embedded))
    return [(what, path) for what, path in places if path.is_dir()] or [("home", settings.home)]


def _place(what: str, path: Path) -> tuple[str, int, int, Path]:
    usage = shutil.disk_usage(path)
    return what, usage.free, usage.total, path


def _size_of(file: Path) -> int:
    """With what SQLite keeps beside it."""
    found = 0
    for suffix in ("", "-wal"):
        path = file.with_name(file.name + suffix)
        found += path.stat().st_size if path.exists() else 0
    return found
