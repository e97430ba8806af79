"""The read model's SQLite file: its tables, and how it is opened.

The file holds nothing that the log does not, so whatever is wrong with it is mended by setting it aside and
folding the log again. Moments are microseconds since 1970 (``NONE`` where there is none), so that they sort.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SCHEMA_VERSION = 8
NONE = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHECKED_BYTES = 64 * 2**20
"""Up to this size a file is checked page by page when it is opened; that takes a fraction of a second."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE states (run_id TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, first_seq INTEGER NOT NULL, status TEXT NOT NULL, workflow TEXT NOT NULL,
    host TEXT NOT NULL, stuck INTEGER NOT NULL, awaiting INTEGER NOT NULL, in_group TEXT NOT NULL,
    queued INTEGER NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX runs_by_creation ON runs (created_at, first_seq);
CREATE INDEX runs_by_status ON runs (status, created_at, first_seq);
CREATE INDEX runs_by_workflow ON runs (workflow, created_at, first_seq);
CREATE INDEX runs_by_host ON runs (host, status);
CREATE INDEX runs_by_end ON runs (ended_at) WHERE ended_at >= 0;
CREATE INDEX runs_by_group ON runs (in_group, first_seq) WHERE in_group != '' AND ended_at < 0;
CREATE INDEX runs_awaiting ON runs (created_at, first_seq) WHERE awaiting = 1;
CREATE INDEX runs_stuck ON runs (created_at, first_seq) WHERE stuck = 1;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, type TEXT NOT NULL, run_id TEXT, related_run_id TEXT,
    actor TEXT NOT NULL, host TEXT, command_id TEXT, time INTEGER NOT NULL, subject TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX records_by_run ON records (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX records_by_related ON records (related_run_id) WHERE related_run_id IS NOT NULL;
CREATE INDEX records_by_command ON records (command_id) WHERE command_id IS NOT NULL;
CREATE INDEX records_by_type ON records (type);
CREATE TABLE workflows (
    name TEXT NOT NULL, version INTEGER NOT NULL, definition TEXT NOT NULL, digest TEXT NOT NULL,
    applied_at TEXT NOT NULL, applied_by TEXT NOT NULL, seq INTEGER NOT NULL, deleted_seq INTEGER,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE TABLE hosts (
    host_id TEXT PRIMARY KEY, joined TEXT NOT NULL, joined_at TEXT NOT NULL, seq INTEGER NOT NULL, left_seq INTEGER
) WITHOUT ROWID;
CREATE TABLE endings (
    run_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, workflow TEXT NOT NULL, outcome TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX endings_by_position ON endings (seq);
CREATE TABLE set_aside (seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, why TEXT NOT NULL);
"""

COMPARED = {
    "states": "run_id",
    "runs": "run_id",
    "records": "seq",
    "workflows": "name, version",
    "hosts": "host_id",
    "endings": "run_id",
    "set_aside": "seq",
}
"""Every table that the log determines, with its key: what a rebuild compares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An open file: the one connection that writes, one that can only read, and why an older file was set aside."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    set_aside: str | None


def open_file(path: Path) -> Opened:
    """Open the file, new where there is none; one that is damaged or of another schema is set aside first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    why = None
    writer: sqlite3.Connection | None = None
    if path.exists():
        try:
            writer = _connect(path)
            why = _objection(writer, path)
        except sqlite3.DatabaseError as error:
            if _is_passing(error):
                raise
            why = f"it is damaged ({error})"
        if why is not None:
            if writer is not None:
                writer.close()
            writer = None
            why = f"{why}; kept as {set_aside(path)}"
    if writer is None:
        writer = _create(path)
    return Opened(writer=writer, reader=connect_read_only(path), set_aside=why)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, whatever it is asked."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def set_aside(path: Path) -> str:
    """Rename the file so that the next start builds a new one; returns the new name. One such copy is kept."""
    aside = path.with_name(f"{path.name}.set-aside")
    path.replace(aside)
    remove(path)
    return aside.name


def remove(path: Path) -> None:
    """Remove the file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def micros(moment: datetime | None) -> int:
    """Microseconds since 1970; ``NONE`` for None."""
    return NONE if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The moment that so many microseconds since 1970 are."""
    return _EPOCH + timedelta(microseconds=value)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is broken, rather than that the disk is full or busy."""
    return isinstance(error, sqlite3.DatabaseError) and not _is_passing(error)


def _is_passing(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 5000")
    except BaseException:
        connection.close()
        raise
    path.chmod(0o600)
    return connection


def _create(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO meta VALUES ('schema', ?), ('position', '0'), ('mark', '')", (str(SCHEMA_VERSION),)
    )
    connection.execute("COMMIT")
    return connection


def _objection(connection: sqlite3.Connection, path: Path) -> str | None:
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    except sqlite3.OperationalError as error:
        return f"it holds no read model ({error})"
    if row is None or row[0] != str(SCHEMA_VERSION):
        return f"its schema is version {row[0] if row else 'unknown'}, this program's is {SCHEMA_VERSION}"
    if path.stat().st_size <= _CHECKED_BYTES:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            return f"it is damaged ({verdict})"
    return None
