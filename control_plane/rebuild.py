"""Rebuild: fold the whole log once more into a second file, and compare it with the live one byte for byte.

The live model keeps serving. The second one is built to where the live one stands, then a snapshot of the live file
is taken (a read transaction), the second one is brought to exactly that position, and the two are compared row by
row; neither is ever in memory as a whole.
"""

import asyncio
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from control_plane.projector import SLICE
from control_plane.read_model import ReadModel
from control_plane.read_model.schema import COMPARED, connect_read_only
from runplane.bus import Bus, Message
from runplane.contract.errors import Unavailable
from runplane.contract.value import Value

STALL_SECONDS = 30.0
"""So long the log may hand over nothing before the rebuild gives up."""
_SHOWN = 300

Row = tuple[Any, ...]


class Difference(Value):
    """The first row that is not the same: its table and key, and the field where live and rebuilt part."""

    table: str
    key: str
    field: str
    live: str | None
    rebuilt: str | None


class RebuildReport(Value):
    """Whether the read model is what the log says, at which log position, over how many runs."""

    equal: bool
    position: int
    runs: int
    first_difference: Difference | None = None


async def rebuild(bus: Bus, read_model: ReadModel) -> RebuildReport:
    """Fold the log anew and compare. Unavailable when the log cannot be read to the end."""
    directory = Path(tempfile.mkdtemp(prefix="rebuild-", dir=read_model.path.parent))
    try:
        second = ReadModel(directory / "read_model.sqlite")
        try:
            return await _build_and_compare(bus, read_model, second)
        finally:
            second.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _build_and_compare(bus: Bus, live: ReadModel, second: ReadModel) -> RebuildReport:
    pending: list[Message] = []
    reader = bus.read_log(start_seq=1)
    try:

        async def build_to(target: int) -> None:
            while second.position < target:
                if not pending:
                    pending.extend(await reader.next(timeout=STALL_SECONDS))
                if not pending:
                    raise Unavailable(
                        f"the log handed over nothing after {second.position} for {STALL_SECONDS:g} s"
                    )
                due = list(itertools.takewhile(lambda message: message.seq <= target, pending[:SLICE]))
                if not due:
                    break
                second.project(due)
                del pending[: len(due)]
                await asyncio.sleep(0)

        await build_to(live.position)
        snapshot = connect_read_only(live.path)
        try:
            snapshot.execute("BEGIN")
            position = int(snapshot.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()[0])
            await build_to(position)
            return await asyncio.to_thread(_compare, snapshot, second.path, position)
        finally:
            snapshot.close()
    finally:
        await reader.close()


def _compare(live: sqlite3.Connection, second: Path, position: int) -> RebuildReport:
    rebuilt = connect_read_only(second)
    try:
        runs = int(live.execute("SELECT count(*) FROM runs").fetchone()[0])
        differences = (_first_difference(table, key, live, rebuilt) for table, key in COMPARED.items())
        first = next((difference for difference in differences if difference is not None), None)
        return RebuildReport(equal=first is None, position=position, runs=runs, first_difference=first)
    finally:
        rebuilt.close()


def _first_difference(
    table: str, key: str, live: sqlite3.Connection, rebuilt: sqlite3.Connection
) -> Difference | None:
    width = len(key.split(","))
    pairs = itertools.zip_longest(_rows(live, table, key), _rows(rebuilt, table, key))
    for ours, theirs in pairs:
        if ours == theirs:
            continue
        name = ", ".join(str(part) for part in _first_key(ours, theirs, width))
        if ours is None or theirs is None or ours[:width] != theirs[:width]:
            only_live = theirs is None or (ours is not None and ours[:width] < theirs[:width])
            return Difference(
                table=table,
                key=name,
                field="row",
                live="present" if only_live else None,
                rebuilt=None if only_live else "present",
            )
        columns = [column[1] for column in live.execute(f"PRAGMA table_info({table})")]
        at = next(index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        field, left, right = _inside(columns[at], ours[at], theirs[at])
        return Difference(table=table, key=name, field=field, live=_shown(left), rebuilt=_shown(right))
    return None


def _first_key(ours: Row | None, theirs: Row | None, width: int) -> Row:
    return min(row[:width] for row in (ours, theirs) if row is not None)


def _rows(connection: sqlite3.Connection, table: str, key: str) -> Iterator[Row]:
    yield from connection.execute(f"SELECT * FROM {table} ORDER BY {key}")  # noqa: S608 — a table of COMPARED


def _inside(field: str, ours: object, theirs: object) -> tuple[str, object, object]:
    """Go down into JSON text to the field where the two part; stay outside where it is not JSON."""
    try:
        if not isinstance(ours, str | bytes) or not isinstance(theirs, str | bytes):
            return field, ours, theirs
        left, right = json.loads(ours), json.loads(theirs)
    except ValueError:
        return field, ours, theirs
    while isinstance(left, dict) and isinstance(right, dict):
        parted = next(
            (name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)), None
        )
        if parted is None:
            break
        field, left, right = f"{field}.{parted}", left.get(parted), right.get(parted)
    return (field, ours, theirs) if left == right else (field, left, right)


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
