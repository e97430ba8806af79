"""Writing: a batch of log records becomes states, index rows, records and log position in one transaction.

Either all of a batch is in the file, position included, or nothing is: after a crash the next batch begins at the
record after the position, so none is skipped and none is folded twice (G17). A record that cannot be read is noted
in ``set_aside`` and moves the position like any other.
"""

import hashlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from control_plane.read_model.schema import micros
from runplane.bus import Message
from runplane.contract.commands import RestartRun
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.events import HostJoined, HostLeft, RestartAccepted, WorkflowApplied, WorkflowDeleted
from runplane.contract.subjects import workflow_event
from runplane.core.fold import apply
from runplane.core.state import RunState

HOT_STATES = 2048
"""States kept in memory, so that a batch does not read again what was just written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Projected:
    """One record that was folded, and the state of its run right after it (None for hosts and workflows).

    ``ended``: this very record ended the run, which no other one does.
    """

    seq: int
    envelope: Envelope
    state: RunState | None
    ended: bool = False


@dataclass(kw_only=True, slots=True)
class _Batch:
    """What one transaction is going to write."""

    before: dict[str, RunState] = field(default_factory=dict)
    states: dict[str, RunState] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    records: list[tuple[object, ...]] = field(default_factory=list)
    endings: list[tuple[str, int, str, str]] = field(default_factory=list)
    projected: list[Projected] = field(default_factory=list)


class Projection:
    """The only writer of the file. ``position`` is the last log position in it, ``mark`` that record's digest."""

    def __init__(self, connection: sqlite3.Connection, load: Callable[[str], RunState]) -> None:
        """``load`` gives the committed state of a run."""
        self._connection = connection
        self._load = load
        self._hot: OrderedDict[str, RunState] = OrderedDict()
        stored = dict(connection.execute("SELECT name, value FROM meta"))
        self.position = int(stored["position"])
        self.mark = str(stored["mark"])
        self.set_aside_count = int(connection.execute("SELECT count(*) FROM set_aside").fetchone()[0])

    def hot(self, run_id: str) -> RunState | None:
        """The state, if it is in memory."""
        return self._hot.get(run_id)

    def write(self, messages: Sequence[Message]) -> list[Projected]:
        """Fold and store the messages after the position; those before it are passed over.

        Raises ``sqlite3.Error`` with nothing changed where the file cannot be written. A record that breaks the
        folding in a way nobody foresaw is found by going one by one, and set aside.
        """
        fresh = [message for message in messages if message.seq > self.position]
        try:
            return self._write(fresh) if fresh else []
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 — no record may stop the log
            if len(fresh) == 1:
                return self._write(
                    fresh, refusal=f"could not be projected: {type(error).__name__}: {error}"[:500]
                )
            return [projected for message in fresh for projected in self.write([message])]

    def _write(self, messages: Sequence[Message], *, refusal: str | None = None) -> list[Projected]:
        last = messages[-1]
        mark = digest(last.payload)
        batch = _Batch()
        set_aside = 0
        with self._transaction():
            for message in messages:
                try:
                    if refusal is not None:
                        raise Unreadable(refusal)
                    self._fold(batch, message, parse(message.payload, message.subject))
                except Unreadable as error:
                    set_aside += 1
                    self._set_aside(message, error.message)
            self._save(batch)
            self._connection.executemany(
                "UPDATE meta SET value = ? WHERE name = ?", ((str(last.seq), "position"), (mark, "mark"))
            )
        self.position, self.mark = last.seq, mark
        self.set_aside_count += set_aside
        self._keep_hot(batch.states)
        return batch.projected

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _fold(self, batch: _Batch, message: Message, envelope: Envelope) -> None:
        run_id = envelope.run_id
        state, ended = None, False
        if run_id is not None:
            before = batch.states.get(run_id)
            if before is None:
                before = batch.before[run_id] = self._hot.get(run_id) or self._load(run_id)
            state = apply(before, envelope, message.seq)
            batch.states[run_id] = state
            if before.run is None and state.run is not None:
                batch.born[run_id] = message.seq
            if before.run is not None and state.run is not None and not before.run.status.ended:
                ended = state.run.status.ended
            if ended and state.run is not None:
                batch.endings.append((run_id, message.seq, state.run.workflow, str(state.run.status)))
        else:
            self._register(envelope, message.seq)
        batch.records.append(_record_row(message, envelope))
        batch.projected.append(Projected(seq=message.seq, envelope=envelope, state=state, ended=ended))

    def _save(self, batch: _Batch) -> None:
        self._connection.executemany(
            "INSERT INTO states VALUES (?, ?) ON CONFLICT (run_id) DO UPDATE SET state = excluded.state",
            [(run_id, state.model_dump_json()) for run_id, state in batch.states.items()],
        )
        for run_id, state in batch.states.items():
            row = index_row(state)
            if row is None:
                continue
            if run_id in batch.born:
                self._connection.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (run_id, batch.born[run_id], *row),
                )
            elif row != index_row(batch.before[run_id]):
                self._connection.execute(
                    "UPDATE runs SET status = ?, workflow = ?, host = ?, stuck = ?, awaiting = ?, in_group = ?, "
                    "queued = ?, created_at = ?, "
                    "started_at = ?, ended_at = ?, words = ? WHERE run_id = ?",
                    (*row, run_id),
                )
        self._connection.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", batch.records
        )
        self._connection.executemany("INSERT OR IGNORE INTO endings VALUES (?, ?, ?, ?)", batch.endings)

    def _register(self, envelope: Envelope, seq: int) -> None:
        """Fold a fact about a workflow or a host; the first to take a version has it."""
        data = envelope.data
        when = envelope.time.isoformat()
        execute = self._connection.execute
        if isinstance(data, WorkflowApplied) and envelope.subject == workflow_event(data.definition.name):
            definition = data.definition.model_dump_json(by_alias=True)
            execute(
                "INSERT OR IGNORE INTO workflows VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    data.definition.name,
                    data.version,
                    definition,
                    data.digest,
                    when,
                    envelope.actor.principal,
                    seq,
                ),
            )
        elif isinstance(data, WorkflowDeleted) and envelope.subject == workflow_event(data.name):
            execute(
                "UPDATE workflows SET deleted_seq = ? WHERE name = ? AND deleted_seq IS NULL",
                (seq, data.name),
            )
        elif isinstance(data, HostJoined) and data.host == envelope.host:
            execute(
                "INSERT INTO hosts VALUES (?, ?, ?, ?, NULL) ON CONFLICT (host_id) DO UPDATE SET "
                "joined = excluded.joined, joined_at = excluded.joined_at, seq = excluded.seq, left_seq = NULL",
                (data.host, data.model_dump_json(), when, seq),
            )
        elif isinstance(data, HostLeft) and data.host == envelope.host:
            execute(
                "UPDATE hosts SET left_seq = ? WHERE host_id = ? AND json_extract(joined, '$.agent_id') = ?",
                (seq, data.host, data.agent_id),
            )

    def _set_aside(self, message: Message, why: str) -> None:
        subject = message.subject.encode(errors="backslashreplace").decode()
        self._connection.execute(
            "INSERT INTO set_aside VALUES (?, ?, ?)",
            (message.seq, subject, why.encode(errors="backslashreplace").decode()),
        )

    def _keep_hot(self, states: dict[str, RunState]) -> None:
        for run_id, state in states.items():
            self._hot[run_id] = state
            self._hot.move_to_end(run_id)
        while len(self._hot) > HOT_STATES:
            self._hot.popitem(last=False)


def digest(payload: bytes) -> str:
    """The mark of a record: what tells this log from another one."""
    return hashlib.sha256(payload).hexdigest()


def index_row(state: RunState) -> tuple[object, ...] | None:
    """What lists are filtered and sorted by: all of it follows from the state."""
    run = state.run
    if run is None:
        return None
    params = run.model_dump_json(include={"params"})
    words = " ".join(filter(None, (run.run_id, run.workflow, run.host, run.requested_by, params))).lower()
    return (
        str(run.status),
        run.workflow,
        run.host or "",
        int(any(condition.type == "stuck" for condition in run.conditions)),
        int(run.awaits_decision),
        state.spec.concurrency.group if state.spec is not None and state.spec.concurrency is not None else "",
        int(run.queued),
        micros(run.created_at),
        micros(run.started_at),
        micros(run.ended_at),
        words[:4096],
    )


def _record_row(message: Message, envelope: Envelope) -> tuple[object, ...]:
    data = envelope.data
    related = data.run_id if isinstance(data, RestartRun) else None
    related = data.new_run_id if isinstance(data, RestartAccepted) else related
    return (
        message.seq,
        "cmd" if envelope.is_command else "evt",
        envelope.type,
        envelope.run_id,
        related if related != envelope.run_id else None,
        envelope.actor.principal,
        envelope.host,
        envelope.command_id,
        message.time_ns // 1000,
        message.subject,
        message.payload,
    )
