"""Reading: every query of the read model, each a function of a connection. None of them changes anything."""

import base64
import binascii
import json
import sqlite3
from collections.abc import Collection
from datetime import datetime

from control_plane.read_model.schema import micros, moment
from control_plane.read_model.unreachable import HELD, Joined
from control_plane.read_model.views import SORTS, EventFilter, RunFilter, SetAside, WorkflowView
from runplane.contract.envelope import Envelope, parse
from runplane.contract.errors import InvalidInput
from runplane.contract.events import HostJoined
from runplane.contract.run import OPEN
from runplane.contract.workflow import WorkflowDefinition

Record = tuple[int, Envelope]
_OPEN = tuple(sorted(OPEN))
_RECORD = "SELECT seq, subject, payload FROM records"


def run_ids(
    connection: sqlite3.Connection, asked: RunFilter, unreachable: Collection[str] = ()
) -> tuple[list[str], str | None, int]:
    """The ids of one page of runs, the cursor of the next page, and how many runs match in all.

    What ``unreachable`` hosts hold counts as stuck.
    """
    column, descending = _sort_of(asked.sort)
    clauses, values = _matching(asked, unreachable)
    total = int(connection.execute(f"SELECT count(*) FROM runs{_where(clauses)}", values).fetchone()[0])  # noqa: S608
    if asked.cursor is not None:
        clauses.append(f"({column}, first_seq) {'<' if descending else '>'} (?, ?)")
        values.extend(_read_cursor(asked.cursor, asked.sort))
    order = "DESC" if descending else "ASC"
    rows = connection.execute(
        f"SELECT run_id, {column}, first_seq FROM runs{_where(clauses)} "  # noqa: S608 — a column of SORTS
        f"ORDER BY {column} {order}, first_seq {order} LIMIT ?",
        [*values, asked.limit + 1],
    ).fetchall()
    page = rows[: asked.limit]
    following = _write_cursor(asked.sort, page[-1][1:]) if len(rows) > asked.limit else None
    return [row[0] for row in page], following, total


def status_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many runs there are of every status that occurs."""
    return dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())


def stuck_counts(connection: sqlite3.Connection, unreachable: Collection[str] = ()) -> dict[str, int]:
    """How many open runs are stuck, by verdict; without those that ``unreachable`` hosts hold."""
    held, values = _held_by(unreachable)
    return dict(
        connection.execute(
            "SELECT json_extract(one.value, '$.verdict'), count(*) FROM runs JOIN states USING (run_id), "  # noqa: S608
            "json_each(states.state, '$.run.conditions') AS one "
            f"WHERE runs.stuck = 1 AND json_extract(one.value, '$.type') = 'stuck' AND NOT {held} GROUP BY 1",
            values,
        ).fetchall()
    )


def group(connection: sqlite3.Connection, name: str) -> tuple[list[str], list[str]]:
    """The open runs of a group that were let in, and those that wait for it, each in the order they were asked for."""
    rows = connection.execute(
        "SELECT run_id, queued FROM runs WHERE in_group = ? AND in_group != '' AND ended_at < 0 ORDER BY first_seq",
        (name,),
    ).fetchall()
    return [run_id for run_id, queued in rows if not queued], [run_id for run_id, queued in rows if queued]


def awaiting_count(connection: sqlite3.Connection) -> int:
    """How many runs wait for a decision."""
    return int(connection.execute("SELECT count(*) FROM runs WHERE awaiting = 1").fetchone()[0])


def activity(
    connection: sqlite3.Connection, since: datetime, bucket_seconds: int
) -> list[tuple[int, str, int]]:
    """How many were asked for and ended, by bucket since a moment: its number, ``started`` or the ending, how many."""
    begin, width = micros(since), bucket_seconds * 1_000_000
    rows = connection.execute(
        "SELECT (created_at - ?1) / ?2, 'started', count(*) FROM runs WHERE created_at >= ?1 GROUP BY 1 UNION ALL "
        "SELECT (ended_at - ?1) / ?2, status, count(*) FROM runs WHERE ended_at >= ?1 AND ended_at >= 0 GROUP BY 1, 2",
        (begin, width),
    )
    return [(int(bucket), str(what), int(count)) for bucket, what, count in rows]


def outcomes(connection: sqlite3.Connection, since: datetime) -> list[tuple[str, str, int]]:
    """How the runs of each workflow have ended since a moment: workflow, status, how many."""
    rows = connection.execute(
        "SELECT workflow, status, count(*) FROM runs WHERE ended_at >= ? AND ended_at >= 0 GROUP BY 1, 2",
        (micros(since),),
    )
    return [(str(workflow), str(status), int(count)) for workflow, status, count in rows]


def seconds_taken(connection: sqlite3.Connection, workflow: str, limit: int) -> list[float]:
    """How long the last completed runs of a workflow took, from their start to their end."""
    rows = connection.execute(
        "SELECT ended_at - started_at FROM runs WHERE workflow = ? AND status = 'completed' AND started_at >= 0 "
        "ORDER BY created_at DESC, first_seq DESC LIMIT ?",
        (workflow, limit),
    )
    return [max(0, taken) / 1e6 for (taken,) in rows]


def count(connection: sqlite3.Connection, run_id: str, type: str, up_to: int) -> int:
    """How many records of a type a run's story has up to a position."""
    return int(
        connection.execute(
            "SELECT count(*) FROM records WHERE run_id = ? AND +type = ? AND seq <= ?", (run_id, type, up_to)
        ).fetchone()[0]
    )


def mentions(connection: sqlite3.Connection, digest: str, but_not: str) -> bool:
    """Whether a checkpoint of another run has something of this digest."""
    row = connection.execute(
        "SELECT 1 FROM records WHERE type = 'CheckpointStored' AND run_id != ? AND instr(CAST(payload AS TEXT), ?) > 0 "
        "LIMIT 1",
        (but_not, digest),
    ).fetchone()
    return row is not None


def failed_attempts(
    connection: sqlite3.Connection, workflow: str, since: datetime, limit: int
) -> tuple[int, int]:
    """How many of the last attempts that failed were of a workflow and since then; and of how many runs."""
    row = connection.execute(
        "SELECT count(*), count(DISTINCT run_id) FROM "
        "(SELECT run_id, time FROM records WHERE type = 'AttemptFailed' ORDER BY seq DESC LIMIT ?) "
        "JOIN runs USING (run_id) WHERE workflow = ? AND time >= ?",
        (limit, workflow, micros(since)),
    ).fetchone()
    return int(row[0]), int(row[1])


def open_runs_by_host(connection: sqlite3.Connection) -> dict[str, int]:
    """How many runs every host holds."""
    held = [status for status in _OPEN if status != "pending"]
    places = ", ".join("?" * len(held))
    return dict(
        connection.execute(
            f"SELECT host, count(*) FROM runs WHERE status IN ({places}) GROUP BY host",  # noqa: S608
            held,
        ).fetchall()
    )


def records(connection: sqlite3.Connection, asked: EventFilter) -> list[Record]:
    """The records that match, in log order."""
    clauses, values = ["seq > ?"], [asked.since_seq]
    given: list[tuple[str, object]] = [
        ("seq < ?", asked.before_seq),
        ("type = ?", asked.type),
        ("actor = ?", asked.actor),
        ("host = ?", asked.host),
        ("command_id = ?", asked.command_id),
        ("time >= ?", asked.since and micros(asked.since)),
        ("time <= ?", asked.until and micros(asked.until)),
    ]
    parameters: list[object] = list(values)
    for clause, value in given:
        if value is not None:
            clauses.append(clause)
            parameters.append(value)
    if asked.run_id is not None:
        clauses.append("(run_id = ? OR related_run_id = ?)")
        parameters += [asked.run_id, asked.run_id]
    order = "DESC" if asked.newest else "ASC"
    rows = connection.execute(
        f"{_RECORD}{_where(clauses)} ORDER BY seq {order} LIMIT ?", [*parameters, asked.limit]
    )
    found = _parsed(rows)
    return found[::-1] if asked.newest else found


def record_at(connection: sqlite3.Connection, seq: int) -> Envelope | None:
    """The record at a position; None where there is none that can be read."""
    found = _parsed(connection.execute(f"{_RECORD} WHERE seq = ?", (seq,)))
    return found[0][1] if found else None


def stored_at(connection: sqlite3.Connection, seq: int) -> datetime | None:
    """When the broker stored the record at a position."""
    row = connection.execute("SELECT time FROM records WHERE seq = ?", (seq,)).fetchone()
    return moment(row[0]) if row is not None else None


def outcome_at(connection: sqlite3.Connection, seq: int) -> str | None:
    """The status by which the record at a position ended its run; None where it ended none."""
    row = connection.execute("SELECT outcome FROM endings WHERE seq = ?", (seq,)).fetchone()
    return str(row[0]) if row is not None else None


def story(
    connection: sqlite3.Connection, run_id: str, *, up_to: int | None = None, types: Collection[str] = ()
) -> list[Record]:
    """The records that a run's state is folded from, in log order; of some types alone where they are given."""
    clauses, parameters = ["run_id = ?"], [run_id]
    values: list[object] = list(parameters)
    if up_to is not None:
        clauses.append("seq <= ?")
        values.append(up_to)
    if types:
        clauses.append(f"type IN ({', '.join('?' * len(types))})")
        values.extend(types)
    return _parsed(connection.execute(f"{_RECORD}{_where(clauses)} ORDER BY seq", values))


def position_at(connection: sqlite3.Connection, run_id: str, time: datetime) -> int:
    """The last log position of a run's story that the broker had stored by then; 0 where there is none."""
    row = connection.execute(
        "SELECT max(seq) FROM records WHERE run_id = ? AND time <= ?", (run_id, micros(time))
    ).fetchone()
    return int(row[0] or 0)


def workflow_versions(connection: sqlite3.Connection, name: str | None = None) -> list[WorkflowView]:
    """All versions of one workflow or of all, by name and version, deleted ones included."""
    clause, values = ("", ()) if name is None else (" WHERE name = ?", (name,))
    rows = connection.execute(
        "SELECT name, version, definition, digest, applied_at, applied_by, seq, deleted_seq "  # noqa: S608
        f"FROM workflows{clause} ORDER BY name, version",
        values,
    )
    return [
        WorkflowView(
            name=row[0],
            version=row[1],
            definition=WorkflowDefinition.model_validate_json(row[2]),
            digest=row[3],
            applied_at=datetime.fromisoformat(row[4]),
            applied_by=row[5],
            deleted=row[7] is not None,
            seq=max(row[6], row[7] or 0),
        )
        for row in rows
    ]


def host_ids(connection: sqlite3.Connection) -> list[str]:
    """Every host that ever joined."""
    return [host_id for (host_id,) in connection.execute("SELECT host_id FROM hosts ORDER BY host_id")]


def joined(connection: sqlite3.Connection, host_id: str) -> Joined | None:
    """When a host joined last, and whether it has left since."""
    row = connection.execute("SELECT joined_at, left_seq FROM hosts WHERE host_id = ?", (host_id,)).fetchone()
    return Joined(at=datetime.fromisoformat(row[0]), left=row[1] is not None) if row is not None else None


def hosts(connection: sqlite3.Connection) -> list[tuple[HostJoined, datetime, int, bool]]:
    """What every host said when it joined last: the fact, when, its log position, and whether the host has left."""
    rows = connection.execute("SELECT joined, joined_at, seq, left_seq FROM hosts ORDER BY host_id")
    return [
        (HostJoined.model_validate_json(joined), datetime.fromisoformat(at), seq, left_seq is not None)
        for joined, at, seq, left_seq in rows
    ]


def set_aside(connection: sqlite3.Connection, limit: int) -> list[SetAside]:
    """The last records that could not be read."""
    rows = connection.execute("SELECT seq, subject, why FROM set_aside ORDER BY seq DESC LIMIT ?", (limit,))
    return [SetAside(seq=seq, subject=subject, why=why) for seq, subject, why in rows]


def _matching(asked: RunFilter, unreachable: Collection[str]) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    if asked.status or asked.awaiting:
        places = f"status IN ({', '.join('?' * len(asked.status))})"
        clauses.append(f"({places} OR awaiting = 1)" if asked.awaiting else places)
        values.extend(str(status) for status in asked.status)
    for column in ("workflow", "host"):
        if (value := getattr(asked, column)) is not None:
            clauses.append(f"{column} = ?")
            values.append(value)
    if asked.stuck is not None:
        held, hosts_and_statuses = _held_by(unreachable)
        is_stuck = f"(stuck = 1 OR {held})" if unreachable else "stuck = 1"
        clauses.append(is_stuck if asked.stuck else f"NOT {is_stuck}")
        values.extend(hosts_and_statuses)
    if asked.started_after is not None:
        clauses.append("started_at > ?")
        values.append(micros(asked.started_after))
    if asked.q:
        clauses.append("instr(words, ?) > 0")
        values.append(asked.q.lower())
    return clauses, values


def _held_by(hosts: Collection[str]) -> tuple[str, list[object]]:
    """A clause for what these hosts hold."""
    if not hosts:
        return "0", []
    places, statuses = ", ".join("?" * len(hosts)), ", ".join("?" * len(HELD))
    return f"(host IN ({places}) AND status IN ({statuses}))", [*hosts, *map(str, HELD)]


def _where(clauses: list[str]) -> str:
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def _sort_of(sort: str) -> tuple[str, bool]:
    column = sort.removeprefix("-")
    if column not in SORTS:
        raise InvalidInput(
            f"sort={sort!r}: runs are sorted by one of {', '.join(SORTS)}, with - before it for the greatest first",
            field="sort",
            value=sort,
        )
    return column, sort.startswith("-")


def _write_cursor(sort: str, place: tuple[object, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, *place]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[object, int]:
    try:
        made_for, value, first_seq = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for == sort and isinstance(value, str | int) and isinstance(first_seq, int):
            return value, first_seq
    except (ValueError, TypeError, binascii.Error):
        pass
    raise InvalidInput(
        f"cursor={cursor[:80]!r} does not belong to this list: take next_cursor of its last page, with the same sort",
        field="cursor",
        value=cursor[:80],
    )


def _parsed(rows: sqlite3.Cursor) -> list[Record]:
    return [(seq, parse(payload, subject)) for seq, subject, payload in rows]
