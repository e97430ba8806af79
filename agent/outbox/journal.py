"""The journal: intent before action, and every fact before it is told. Owned by the supervisor.

One append-only file of lines, ``<crc32 of the rest, 8 hex digits> <JSON>``, fsynced before :meth:`Journal.append`
returns; appends made in one turn of the loop share one fsync. A line whose checksum or JSON is wrong is set aside with
a warning when the journal is read and takes nothing else with it, since every record stands on a line of its own.

Records, by ``kind``:

- ``command``: an order to this host that was accepted (``envelope``)
- ``event``: a fact to be published (``envelope``)
- ``published``: the log has these (``ids``); not fsynced, since publishing twice changes nothing
- ``forget``: a run is over and told (``run_id``); nothing of it is needed any more

The file is written anew without what is forgotten at the start and whenever it has grown by 16 MiB.

A full disk. Room for :data:`RESERVE_BYTES` is kept beforehand for what is said of runs that are here, so that they can
be ended and their ends told. While that room cannot be kept nothing new is accepted.
"""

import asyncio
import json
import logging
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from agent import failpoint
from agent.outbox.room import keep_room
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.errors import Unavailable

log = logging.getLogger("agent.journal")

_REWRITE_AFTER_BYTES = 16 * 2**20
RESERVE_BYTES = 256 * 2**10
_ROOM_STEP_BYTES = 16 * 2**10

_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
JournalRecord = dict[str, Any]


def command(envelope: Envelope) -> JournalRecord:
    """An accepted order."""
    return {"kind": "command", "run_id": _run_of(envelope), "envelope": json.loads(envelope.encode())}


def event(envelope: Envelope) -> JournalRecord:
    """A fact to be published."""
    return {"kind": "event", "run_id": _run_of(envelope), "envelope": json.loads(envelope.encode())}


def published(run_id: str, ids: Iterable[str]) -> JournalRecord:
    """The log has these facts."""
    return {"kind": "published", "run_id": run_id, "ids": list(ids)}


def forget(run_id: str) -> JournalRecord:
    """The run is over and told."""
    return {"kind": "forget", "run_id": run_id}


def envelope_of(record: JournalRecord) -> Envelope | None:
    """The envelope in a record, or None where this version cannot read it."""
    try:
        return parse(json.dumps(record["envelope"]).encode())
    except (Unreadable, KeyError) as error:
        log.warning("a record of %s cannot be read: %s", record.get("run_id"), error)
        return None


def _run_of(envelope: Envelope) -> str:
    return str(getattr(envelope.data, "run_id", None) or envelope.run_id)


class Journal:
    """One journal file. Not shared between processes: the agent's home is locked."""

    def __init__(self, directory: Path) -> None:
        """Nothing is opened before :meth:`open`."""
        self._directory = directory
        self._path = directory / "journal"
        self._fd = -1
        self._room_until = 0
        self._waiting: list[_Waiting] = []
        self._unsynced = b""
        self._size_at_rewrite = 0
        self._size = 0
        self.set_aside = 0

    def open(self) -> list[JournalRecord]:
        """Open, read what is there, write it anew without what is forgotten; return the live records in order."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        records = self._read()
        self._rewrite(records)
        return records

    def close(self) -> None:
        """Close the file; what was appended is on disk."""
        if self._fd >= 0:
            self._flush()
            os.close(self._fd)
            self._fd = -1

    async def append(self, *records: JournalRecord, urgent: bool = False) -> None:
        """Write the records and return when they are on disk; raises :class:`Unavailable` when that cannot be.

        ``urgent``: of a run that is here; may use the room that is set aside.
        """
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(_Waiting(b"".join(_line(record) for record in records), stored, urgent))
        await stored

    def note(self, record: JournalRecord) -> None:
        """Write a record with the next append; a crash may lose it."""
        self._unsynced += _line(record)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._keep_room(len(self._unsynced) + sum(len(one.content) for one in waiting))
            self._write_for(waiting)
            return
        except OSError as error:
            fault = error
        try:
            self._write_for([one for one in waiting if one.urgent])
        except OSError as error:
            fault = error
        self._refuse(waiting, fault)

    def _keep_room(self, length: int) -> None:
        """Before so much is written: room for it, and for what must be written when there is no more."""
        needed = self._size + length + RESERVE_BYTES
        if needed > self._room_until:
            keep_room(self._fd, self._size, needed + _ROOM_STEP_BYTES - self._size)
            self._room_until = needed + _ROOM_STEP_BYTES

    def _write_for(self, waiting: list["_Waiting"]) -> None:
        content = self._unsynced + b"".join(one.content for one in waiting)
        if content:
            self._write(content)
        self._unsynced = b""
        for one in waiting:
            if not one.stored.done():
                one.stored.set_result(None)

    def _refuse(self, waiting: list["_Waiting"], fault: OSError) -> None:
        """Those that were not written."""
        refusal = Unavailable(
            f"the agent's journal at {self._path} cannot be written: {fault.strerror}. Free some disk; until then "
            f"this host accepts nothing new",
            code="journal_unavailable",
        )
        for one in waiting:
            if not one.stored.done():
                one.stored.set_exception(refusal)

    def _write(self, content: bytes) -> None:
        """All of it, or nothing: a part that did fit on a full disk is cut off again."""
        failpoint.passing("journal.before")
        try:
            _write_all(self._fd, content)
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            self._room_until = self._size
            raise
        self._size += len(content)
        failpoint.passing("journal.after")

    def records(self) -> list[JournalRecord]:
        """The live records, in order, as a restart would find them."""
        self._flush()
        return self._read()

    def needs_rewrite(self) -> bool:
        """Whether the file has grown enough to be worth writing anew."""
        return self._size - self._size_at_rewrite > _REWRITE_AFTER_BYTES

    def rewrite(self) -> None:
        """Write the file anew without what is forgotten."""
        self._flush()
        self._rewrite(self._read())

    def _read(self) -> list[JournalRecord]:
        """The live records: read line by line, bad lines set aside."""
        by_run: dict[str, list[tuple[int, JournalRecord]]] = {}
        bad: list[bytes] = []
        if self._path.exists():
            with self._path.open("rb") as file:
                for number, line in enumerate(file):
                    record = _record(line)
                    if record is None:
                        bad.append(line)
                    elif record["kind"] == "forget":
                        by_run.pop(record["run_id"], None)
                    else:
                        by_run.setdefault(record["run_id"], []).append((number, record))
        if bad:
            self._set_aside(bad)
        live = sorted((entry for records in by_run.values() for entry in records), key=lambda entry: entry[0])
        told = {identity for _, record in live if record["kind"] == "published" for identity in record["ids"]}
        kept: list[JournalRecord] = []
        for _, record in live:
            if record["kind"] == "published":
                continue
            if record["kind"] == "event":
                record["published"] = record["envelope"]["id"] in told or record.get("published", False)
            kept.append(record)
        return kept

    def _set_aside(self, lines: list[bytes]) -> None:
        self.set_aside += len(lines)
        place = self._directory / "journal.set-aside"
        try:
            with place.open("ab") as file:
                file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in lines)
        except OSError as error:
            log.warning("%s cannot be written: %s", place, error.strerror)
        log.warning("%d records of the journal were torn or changed; set aside in %s", len(lines), place)

    def _rewrite(self, records: list[JournalRecord]) -> None:
        """Put a fresh file in the place of the former one; where the disk takes no fresh one, go on with the former."""
        content = b"".join(_line(record) for record in records)
        fresh = self._path.with_suffix(".new")
        fd = -1
        try:
            fd = os.open(fresh, _APPENDING | os.O_TRUNC, 0o600)
            _write_all(fd, content)
            os.fsync(fd)
            failpoint.passing("rewrite.before")
            fresh.replace(self._path)
            failpoint.passing("rewrite.after")
            self._sync_directory()
        except OSError as error:
            log.warning("the journal at %s cannot be written anew: %s", self._path, error.strerror)
            if fd >= 0:
                os.close(fd)
            fresh.unlink(missing_ok=True)
            self._go_on()
            return
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._size = self._size_at_rewrite = self._room_until = len(content)

    def _sync_directory(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _go_on(self) -> None:
        """Append to the file as it is, behind its last whole line."""
        if self._fd < 0:
            self._fd = os.open(self._path, _APPENDING, 0o600)
        content = self._path.read_bytes()
        self._size = self._size_at_rewrite = self._room_until = content.rfind(b"\n") + 1
        os.ftruncate(self._fd, self._size)


class _Waiting(NamedTuple):
    """What is to be written with the next flush, and who waits for it."""

    content: bytes
    stored: asyncio.Future[None]
    urgent: bool


def _write_all(fd: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(fd, content[written:])


def _line(record: JournalRecord) -> bytes:
    content = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _record(line: bytes) -> JournalRecord | None:
    """The record on a line, or None where it is not what was written."""
    checksum, _, content = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(content):
            return None
        record = json.loads(content)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "kind" in record and "run_id" in record else None
