"""What was answered under an idempotency key, so that the same request gets the same answer.

A file of its own: it is not derived from the log and takes no part in a rebuild. It is written to disk before the
answer goes out, and forgets answers after a day.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KEPT_SECONDS = 86_400.0
MAX_KEPT = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """An earlier answer: the digest of its request, its HTTP status and its body."""

    digest: str
    status: int
    response: bytes


class IdempotencyStore:
    """Answers by (principal, key)."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the file, new where there is none."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._connection = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS idempotency (principal TEXT, key TEXT, digest TEXT NOT NULL, "
            "status INTEGER NOT NULL, response BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (principal, key))"
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (at)")

    def get(self, principal: str, key: str) -> Remembered | None:
        """The earlier answer, if there is one that is not too old."""
        row = self._connection.execute(
            "SELECT digest, status, response FROM idempotency WHERE principal = ? AND key = ? AND at > ?",
            (principal, key, self._clock() - KEPT_SECONDS),
        ).fetchone()
        return Remembered(digest=row[0], status=row[1], response=row[2]) if row is not None else None

    def put(self, principal: str, key: str, answer: Remembered) -> None:
        """Keep an answer; the first one under a key stays. Old ones, and those over the limit, are dropped."""
        now = self._clock()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute("DELETE FROM idempotency WHERE at <= ?", (now - KEPT_SECONDS,))
            self._connection.execute(
                "INSERT OR IGNORE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
                (principal, key, answer.digest, answer.status, answer.response, now),
            )
            self._connection.execute(
                "DELETE FROM idempotency WHERE rowid <= (SELECT max(rowid) FROM idempotency) - ?",
                (MAX_KEPT,),
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
