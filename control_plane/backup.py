"""Saves everything that the broker keeps, and puts it back; proves that what was put back gives an equal read model.

``python -m control_plane.backup save DIR`` and ``restore DIR``, the broker in RUNPLANE_NATS_URL: the command line runs
it. The log is taken first, so that what it refers to (objects, timers) is in what is taken after it. The fingerprint in
``manifest.json`` is that of a read model folded from the saved log; a restore folds the log that it has put back and
compares. One JSON line is printed: what was done, or ``error``.
"""

import asyncio
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from control_plane.projector import SLICE
from control_plane.read_model import ReadModel
from control_plane.read_model.schema import COMPARED, SCHEMA_VERSION, connect_read_only
from runplane.bus import Bus
from runplane.contract.errors import Conflict, InvalidInput, RunplaneError, Unavailable
from runplane.contract.subjects import LOG_STREAM, OBJECTS_STREAM, OUTPUT_STREAM, TIMERS_STREAM
from runplane.stamp import now

STREAMS = (LOG_STREAM, OBJECTS_STREAM, TIMERS_STREAM, OUTPUT_STREAM)
"""Heartbeats and samples are left out: what they say is over."""
FORMAT = 1
_MANIFEST = "manifest.json"
_STALL_SECONDS = 30.0


async def save(bus: Bus, directory: Path) -> dict[str, Any]:
    """Save every stream; what was saved. Conflict where the directory is not empty."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise Conflict(f"{directory} is not empty: name a new directory, so that no other backup is mixed up")
    streams: dict[str, Any] = {}
    for stream in STREAMS:
        path = directory / f"{stream}.snapshot"
        with path.open("wb") as file:
            described = await bus.snapshot(stream, file)
            file.flush()
            os.fsync(file.fileno())
        streams[stream] = {**described, "bytes": path.stat().st_size, "sha256": _sha256(path)}
    position = int(streams[LOG_STREAM]["state"]["last_seq"])
    manifest = {
        "format": FORMAT,
        "taken_at": now().isoformat(),
        "position": position,
        "schema": SCHEMA_VERSION,
        **await _fingerprint(bus, position),
        "streams": streams,
    }
    _write(directory / _MANIFEST, manifest)
    return {"directory": str(directory), **_summary(manifest)}


async def restore(bus: Bus, directory: Path) -> dict[str, Any]:
    """Put every stream back into an empty broker, and say whether the read model is ``equal``."""
    manifest = _read(directory)
    for stream in STREAMS:
        last = await bus.last_position(stream)
        if last is None:
            continue
        if last > 0:
            raise Conflict(
                f"the broker has {stream} up to {last} already: a backup is put into a broker without a log, so name "
                f"another --home, or move this one's nats directory away"
            )
        await bus.delete_stream(stream)
    for stream in STREAMS:
        with (directory / f"{stream}.snapshot").open("rb") as file:
            await bus.put_snapshot(stream, manifest["streams"][stream], file)
    found = await _fingerprint(bus, int(manifest["position"]))
    comparable = manifest["schema"] == SCHEMA_VERSION
    equal = found["fingerprint"] == manifest["fingerprint"] if comparable else None
    return {"directory": str(directory), "equal": equal, **_summary(manifest), "found": found["fingerprint"]}


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    total = sum(int(stream["bytes"]) for stream in manifest["streams"].values())
    return {
        "taken_at": manifest["taken_at"],
        "position": manifest["position"],
        "runs": manifest["runs"],
        "bytes": total,
        "fingerprint": manifest["fingerprint"],
    }


async def _fingerprint(bus: Bus, position: int) -> dict[str, Any]:
    """Of a read model folded from the log up to a position, and how many runs it has."""
    with tempfile.TemporaryDirectory(prefix="runplane-backup-") as place:
        path = Path(place) / "read_model.sqlite"
        model = ReadModel(path)
        reader = bus.read_log(start_seq=1)
        try:
            while model.position < position:
                messages = await reader.next(timeout=_STALL_SECONDS)
                if not messages:
                    raise Unavailable(
                        f"the log handed over nothing after {model.position} for {_STALL_SECONDS:g} s"
                    )
                due = [message for message in messages if message.seq <= position]
                for begin in range(0, len(due), SLICE):
                    model.project(due[begin : begin + SLICE])
                if len(due) < len(messages):
                    break
        finally:
            await reader.close()
            model.close()
        return await asyncio.to_thread(_hash_of, path)


def _hash_of(path: Path) -> dict[str, Any]:
    connection = connect_read_only(path)
    try:
        digest = hashlib.sha256()
        for table, key in COMPARED.items():
            digest.update(table.encode())
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY {key}"):  # noqa: S608 — of COMPARED
                digest.update(repr(row).encode())
        runs = int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        return {"fingerprint": digest.hexdigest(), "runs": runs}
    finally:
        connection.close()


def _read(directory: Path) -> dict[str, Any]:
    """The manifest, once every file was found to be what it says. InvalidInput names what is missing or damaged."""
    try:
        manifest: dict[str, Any] = json.loads((directory / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{directory} holds no backup: {_MANIFEST} cannot be read ({error})") from None
    if manifest.get("format") != FORMAT:
        raise InvalidInput(
            f"{directory} is a backup of format {manifest.get('format')}, this program reads {FORMAT}"
        )
    for stream in STREAMS:
        path = directory / f"{stream}.snapshot"
        if not path.exists():
            raise InvalidInput(f"{directory} is not whole: {path.name} is missing")
        if _sha256(path) != manifest["streams"][stream]["sha256"]:
            raise InvalidInput(f"{path} is damaged: it is not what {_MANIFEST} says")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: dict[str, Any]) -> None:
    building = path.with_name(f".{path.name}")
    with building.open("w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    building.replace(path)


async def _main(what: str, directory: Path) -> dict[str, Any]:
    bus = await Bus.connect(os.environ["RUNPLANE_NATS_URL"], name=f"backup-{what}")
    try:
        return await (save if what == "save" else restore)(bus, directory)
    finally:
        await bus.close()


def main() -> int:
    """Do it; 0, or 1 with an ``error``."""
    try:
        said = asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
    except (RunplaneError, OSError) as error:
        message = error.message if isinstance(error, RunplaneError) else str(error)
        print(json.dumps({"error": message, "code": getattr(error, "error_code", "failed")}))  # noqa: T201
        return 1
    print(json.dumps(said))  # noqa: T201 - for the command line
    return 0


if __name__ == "__main__":
    sys.exit(main())
