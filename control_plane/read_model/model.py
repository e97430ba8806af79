"""The read model: what the log says, folded into SQLite, for everyone who reads.

The projector alone writes, in the event loop; queries use a connection of their own that cannot write. ``position``
is the log position that every answer reflects.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from time import monotonic

from pydantic import ValidationError

from control_plane.read_model import queries
from control_plane.read_model.changes import Changes, Predicate, Subscription
from control_plane.read_model.live import Live, Silence
from control_plane.read_model.projection import Projection
from control_plane.read_model.schema import open_file
from control_plane.read_model.totals import Totals
from control_plane.read_model.unreachable import VERDICT, Joined, is_heard, with_unreachable
from control_plane.read_model.views import (
    EventFilter,
    HostStatus,
    HostView,
    RunFilter,
    RunPage,
    SetAside,
    WorkflowView,
)
from runplane.bus import Message
from runplane.contract.envelope import Envelope
from runplane.contract.events import HostJoined
from runplane.contract.run import Run
from runplane.core.fold import fold, initial
from runplane.core.forecast import expected_end
from runplane.core.state import RunState, view

Record = tuple[int, Envelope]

_TAKEN_SECONDS = 30.0
_FAILED_ATTEMPTS = 1_000
_TAKEN_RUNS = 20
_MOST_WORKFLOWS = 10_000


class ReadModel:
    """One open read model. ``set_aside_file`` says why an older file was not used, and where it is kept."""

    def __init__(self, path: Path, live: Live | None = None) -> None:
        """Open the file at ``path`` (new where there is none); ``live`` lays heartbeats and samples over."""
        opened = open_file(path)
        self.path = path
        self.set_aside_file = opened.set_aside
        self._writer = opened.writer
        self._reader = opened.reader
        self._live: Live = live if live is not None else Silence()
        self._projection = Projection(self._writer, self._stored_state)
        self._taken: dict[str, tuple[float, list[float]]] = {}
        self._changes = Changes(self._overlay)
        self.totals = Totals(self._reader)

    def end_subscriptions(self) -> None:
        """Tell every subscriber that nothing more will come."""
        self._changes.end()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._writer.close()

    # Position

    @property
    def position(self) -> int:
        """The log position that is reflected; 0 before anything was projected."""
        return self._projection.position

    @property
    def mark(self) -> str:
        """The digest of the record at :attr:`position`: what tells this log from another one."""
        return self._projection.mark

    async def wait_for(self, seq: int, timeout: float) -> bool:
        """Wait until log position ``seq`` is reflected; False when it was not within ``timeout`` seconds."""
        return self.position >= seq or await self._changes.wait_for(seq, timeout)

    # Runs

    def state(self, run_id: str) -> RunState | None:
        """The folded state; None where the log holds nothing of such a run."""
        state = self._projection.hot(run_id) or self._stored_state(run_id)
        return state if state != initial() else None

    def run(self, run_id: str) -> Run | None:
        """The run as users see it, with its last sample; None where nobody asked for such a run."""
        state = self.state(run_id)
        return self._overlay(state) if state is not None else None

    def runs(self, asked: RunFilter) -> RunPage:
        """One page of runs. InvalidInput for a sort or cursor that cannot be."""
        unreachable = self._unreachable() if asked.stuck is not None else ()
        ids, following, total = queries.run_ids(self._reader, asked, unreachable)
        return RunPage(items=tuple(filter(None, map(self.run, ids))), next_cursor=following, total=total)

    def state_at(self, run_id: str, seq: int | None = None, time: datetime | None = None) -> RunState:
        """The state as it was at a log position or at a time of the broker; ``run`` is None before it was asked for."""
        up_to = seq if seq is not None else self.position
        if time is not None:
            up_to = min(up_to, queries.position_at(self._reader, run_id, time))
        return fold(queries.story(self._reader, run_id, up_to=up_to))

    async def wait_until(self, run_id: str, predicate: Predicate, timeout: float) -> RunState:
        """Wait until the run's state satisfies the predicate; TimeoutError after ``timeout`` seconds."""
        state = self.state(run_id)
        if state is not None and predicate(state):
            return state
        return await self._changes.wait_until(run_id, predicate, timeout)

    def status_counts(self) -> dict[str, int]:
        """How many runs there are of every status that occurs."""
        return queries.status_counts(self._reader)

    def stuck_counts(self) -> dict[str, int]:
        """How many open runs are stuck, by verdict; each counts once, and those on silent hosts as such."""
        unreachable = self._unreachable()
        counts = queries.stuck_counts(self._reader, unreachable)
        held = queries.open_runs_by_host(self._reader) if unreachable else {}
        return counts | {VERDICT: sum(held.get(host_id, 0) for host_id in unreachable)}

    def group(self, name: str) -> tuple[list[str], list[str]]:
        """The open runs of a concurrency group that were let in, and those that wait, the first that asked first."""
        return queries.group(self._reader, name)

    def awaiting_count(self) -> int:
        """How many runs wait for an operator's decision."""
        return queries.awaiting_count(self._reader)

    def activity(self, since: datetime, bucket_seconds: int) -> list[tuple[int, str, int]]:
        """How many runs were asked for (``started``) and ended, by bucket since a moment and by ending."""
        return queries.activity(self._reader, since, bucket_seconds)

    def outcomes(self, since: datetime) -> list[tuple[str, str, int]]:
        """How the runs of each workflow have ended since a moment: workflow, status, how many."""
        return queries.outcomes(self._reader, since)

    def count(self, run_id: str, type: str, *, up_to: int) -> int:
        """How many records of a type a run's story has up to a position."""
        return queries.count(self._reader, run_id, type, up_to)

    def mentions(self, digest: str, *, but_not: str) -> bool:
        """Whether a checkpoint of another run than ``but_not`` has something of this digest."""
        return queries.mentions(self._reader, digest, but_not)

    def failed_attempts(self, workflow: str, since: datetime) -> tuple[int, int]:
        """How many attempts of a workflow have failed since then, and of how many runs; of the last thousand."""
        return queries.failed_attempts(self._reader, workflow, since, _FAILED_ATTEMPTS)

    # Records

    def events(self, asked: EventFilter) -> list[Record]:
        """Records of the log that match, in log order, with their positions."""
        return queries.records(self._reader, asked)

    def story(self, run_id: str, types: Collection[str] = ()) -> list[Record]:
        """The records a run's state is folded from; of some types alone where they are given."""
        return queries.story(self._reader, run_id, types=types)

    def record_at(self, seq: int) -> Envelope | None:
        """The record at a position; None where there is none that can be read."""
        return queries.record_at(self._reader, seq)

    def stored_at(self, seq: int) -> datetime | None:
        """When the broker stored the record at a position."""
        return queries.stored_at(self._reader, seq)

    def outcome_at(self, seq: int) -> str | None:
        """The status by which the record at a position ended its run; None where it ended none."""
        return queries.outcome_at(self._reader, seq)

    def subscribe(
        self, run_id: str | None = None, types: Collection[str] | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """``async with rm.subscribe() as changes: async for change in changes``: every change from now on.

        To resume without loss: subscribe, read :meth:`events` after the last seen position, then pass over
        changes at or before the last one read. A slow subscriber gets a change with ``missed`` and does the same.
        """
        return self._changes.subscribe(run_id, types)

    @property
    def subscribers(self) -> int:
        """How many are subscribed to changes."""
        return self._changes.subscribers

    @property
    def set_aside_count(self) -> int:
        """How many records of the log could not be read."""
        return self._projection.set_aside_count

    def set_aside(self, limit: int = 100) -> list[SetAside]:
        """The last records that could not be read, and why."""
        return queries.set_aside(self._reader, limit)

    # Workflows and hosts

    def workflow(self, name: str) -> WorkflowView | None:
        """The current version; None where there is none, or it was deleted."""
        versions = self.workflow_versions(name)
        return versions[-1] if versions and not versions[-1].deleted else None

    def workflows(self) -> list[WorkflowView]:
        """The current version of every workflow, by name."""
        current = {view.name: view for view in queries.workflow_versions(self._reader)}
        return [view for view in current.values() if not view.deleted]

    def workflow_versions(self, name: str) -> list[WorkflowView]:
        """All versions of a workflow, oldest first, deleted ones included: the next one is one more than the last."""
        return queries.workflow_versions(self._reader, name)

    def hosts(self) -> list[HostView]:
        """Every host that ever joined, by id."""
        held = queries.open_runs_by_host(self._reader)
        return [
            self._host_view(joined, at, seq, left=left, running=held.get(joined.host, 0))
            for joined, at, seq, left in queries.hosts(self._reader)
        ]

    def host(self, host_id: str) -> HostView | None:
        """One host; None where none of that id ever joined."""
        return next((host for host in self.hosts() if host.host_id == host_id), None)

    # Writing: the projector alone

    def project(self, messages: Sequence[Message]) -> None:
        """Fold and store log records in one transaction, then tell whoever waits.

        Records at or before :attr:`position` are passed over. Raises ``sqlite3.Error`` with nothing changed.
        """
        projected = self._projection.write(messages)
        for one in projected:
            if one.state is not None and one.state.run is not None and one.state.run.status.ended:
                self._live.forget(one.state.run.run_id)
        self.totals.take(projected)
        self._changes.publish(projected, self.position)

    def _stored_state(self, run_id: str) -> RunState:
        row = self._reader.execute("SELECT state FROM states WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            return initial()
        try:
            return RunState.model_validate_json(row[0])
        except ValidationError:  # the row was damaged; the records still tell the state
            return fold(queries.story(self._reader, run_id))

    def _overlay(self, state: RunState) -> Run | None:
        if state.run is None or state.run.status.ended:
            return state.run
        run = view(state, self._live.resources(state.run.run_id)) or state.run
        run = with_unreachable(run, self._live, self._joined)
        end = expected_end(run, self._seconds_taken(run.workflow))
        return run if end is None else run.model_copy(update={"expected_end": end})

    def _seconds_taken(self, workflow: str) -> Sequence[float]:
        """Of earlier runs; asked again at most every half minute for a workflow."""
        moment = monotonic()
        kept = self._taken.get(workflow)
        if kept is None or moment - kept[0] > _TAKEN_SECONDS:
            if len(self._taken) > _MOST_WORKFLOWS:
                self._taken.clear()
            kept = self._taken[workflow] = (
                moment,
                queries.seconds_taken(self._reader, workflow, _TAKEN_RUNS),
            )
        return kept[1]

    def _joined(self, host_id: str) -> Joined | None:
        return queries.joined(self._reader, host_id)

    def _unreachable(self) -> tuple[str, ...]:
        """The hosts that are not heard from."""
        if not self._live.settled:
            return ()
        return tuple(
            host_id for host_id in queries.host_ids(self._reader) if not is_heard(self._live, host_id)
        )

    def _host_view(self, joined: HostJoined, at: datetime, seq: int, *, left: bool, running: int) -> HostView:
        pulse = self._live.pulse(joined.host)
        status: HostStatus = "absent"
        if pulse is not None and pulse.online and not left:
            status = "draining" if pulse.draining else "online"
        return HostView(
            host_id=joined.host,
            status=status,
            left=left,
            last_seen=pulse.last_seen if pulse is not None else at,
            agent_id=joined.agent_id,
            boot_id=joined.boot_id,
            pools=joined.pools,
            slots=pulse.slots if pulse is not None and pulse.slots else joined.slots,
            running=running,
            version=joined.version,
            platform=joined.platform,
            cpus=joined.cpus,
            memory_bytes=joined.memory_bytes,
            memory_available_bytes=pulse.memory_available if pulse is not None else None,
            load=pulse.load if pulse is not None else None,
            pressure=pulse.pressure if pulse is not None else None,
            mechanism=joined.mechanism,
            joined_at=at,
            seq=seq,
        )
