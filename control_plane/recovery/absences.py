"""What becomes of the runs of a host that is not heard from: ``unreachable``, and in the end lost.

Owns the step from a silent host to what the log says of its runs. Follows the heartbeats and is told of every event.
Every replica does the same; ids are derived from the run as it stands, and a compare-and-set lets one of them in.

That a run is given up turns on one question: can its process still be alive? It is decided by the broker's clock alone,
from the last heartbeat that the broker itself has: what this process heard, or missed, does not count.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from control_plane.plane_decisions import (
    MAX_ROUNDS,
    SOURCE,
    Current,
    LostTooOften,
    current_state,
    until_projected,
)
from control_plane.read_model import ReadModel, RunFilter
from control_plane.recovery.timers import RunTimer, set_timer
from control_plane.telemetry import Telemetry
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import KillRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import RunplaneError, Unavailable
from runplane.contract.events import RunClaimed, RunLost, RunReachable, RunUnreachable
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Failure, Run, Status
from runplane.contract.subjects import TELEMETRY_STREAM, plane_event, run_events, telemetry
from runplane.contract.value import Value
from runplane.core.policies.leases import ends_by_itself, given_up_after
from runplane.core.policies.recovery import fact_after
from runplane.stamp import stamp

log = logging.getLogger("control_plane.recovery")

POLICY = Actor(principal="policy:lost-hosts", surface="policy")
_HELD = (Status.STARTING, Status.RUNNING, Status.PAUSED, Status.TERMINATING)
_LOOK_SECONDS, _AGAIN_SECONDS = 2.0, 30.0
_AT_ONCE = 16
_LISTENED_SECONDS = 60.0
"""A host is given up only if it was listened to for so long, or for as long as its workflow says, and was not heard."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Absences:
    """Of every host."""

    def __init__(self, bus: Bus, read_model: ReadModel, heard: Telemetry) -> None:
        """Nothing happens before :meth:`run`."""
        self._bus = bus
        self._read_model = read_model
        self._heard = heard

    async def run(self) -> None:
        """Follow the hosts for ever."""
        async with self._heard.subscribe() as changes:
            waiting = asyncio.ensure_future(changes.__anext__())
            before: frozenset[str] | None = None
            try:
                while True:
                    # Changes are told; a look by time is for the beginning, and for what was missed.
                    limit = _LOOK_SECONDS if before is None else _AGAIN_SECONDS
                    await asyncio.wait({waiting}, timeout=limit)
                    by_time = not waiting.done()
                    if waiting.done():
                        waiting.result()
                        waiting = asyncio.ensure_future(changes.__anext__())
                    silent = self._silent()
                    if silent is None or (silent == before and not by_time):
                        continue
                    before = None
                    with contextlib.suppress(RunplaneError):  # the broker is away: it is looked at again
                        await self._tell_of(silent)
                        before = silent
            finally:
                waiting.cancel()

    def _silent(self) -> frozenset[str] | None:
        """The hosts that are not heard from; None while that is not known."""
        if not self._heard.settled:
            return None
        known = (host.host_id for host in self._read_model.hosts())
        return frozenset(
            host for host in known if (pulse := self._heard.pulse(host)) is None or not pulse.online
        )

    async def _tell_of(self, silent: frozenset[str]) -> None:
        for host in silent:
            await self._each(self._runs(host, _HELD), host, is_silent=True)
        unreachable = self._runs(None, (Status.UNREACHABLE,))
        for host in {run.host for run in unreachable if run.host is not None} - silent:
            await self._each([run for run in unreachable if run.host == host], host, is_silent=False)

    def _runs(self, host: str | None, statuses: tuple[Status, ...]) -> list[Run]:
        found: list[Run] = []
        cursor = None
        while True:
            page = self._read_model.runs(RunFilter(status=statuses, host=host, limit=1000, cursor=cursor))
            found.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def _each(self, runs: Iterable[Run], host: str, *, is_silent: bool) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def tell(run_id: str) -> None:
            async with limit:
                await self._tell(run_id, host, is_silent=is_silent)

        await asyncio.gather(*(tell(run.run_id) for run in runs))

    async def _tell(self, run_id: str, host: str, *, is_silent: bool) -> None:
        """Say of one run that its host is silent, or is heard again; unless that is said, or it is another's now."""
        fact: Value = RunReachable(host=host)
        if is_silent:
            fact = RunUnreachable(host=host, since=await self._last_heard(host, None))
        for _ in range(MAX_ROUNDS):
            current = await current_state(self._bus, self._read_model, run_id, command=None, sure=True)
            run = current.state.run
            wanted = _HELD if is_silent else (Status.UNREACHABLE,)
            if run is None or run.host != host or run.status not in wanted:
                return
            if await self._publish(run_id, current, fact):
                log.info("%s is %s on %s", run_id, "unreachable" if is_silent else "reachable", host)
                return
        log.warning("that %s is %s could not be told", run_id, "unreachable" if is_silent else "reachable")

    async def _publish(self, run_id: str, current: Current, fact: Value, attempt: int | None = None) -> bool:
        envelope = stamp(
            fact,
            subject=plane_event(run_id),
            source=SOURCE,
            actor=POLICY,
            attempt=attempt,
            record_id=derive_record_id(run_id, type(fact).__name__, str(current.event_seq)),
        )
        try:
            await self._bus.publish(envelope, expect=Expect(run_events(run_id), current.event_seq))
        except CompareFailed:
            return False
        return True

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """A run that became unreachable is looked at again when it is to be given up."""
        if not isinstance(envelope.data, RunUnreachable) or envelope.run_id is None:
            return
        await until_projected(self._read_model, seq)
        state = self._read_model.state(envelope.run_id)
        if (
            state is None
            or state.run is None
            or state.spec is None
            or state.run.status is not Status.UNREACHABLE
        ):
            return
        since = envelope.data.since or self._read_model.stored_at(seq) or envelope.time
        at = since + timedelta(seconds=given_up_after(state.spec))
        await set_timer(self._bus, "lost", envelope.run_id, state.run.attempt, at)

    async def give_up(self, timer: RunTimer) -> None:
        """Its time has come: the run is lost, unless its host was heard of since. Unavailable: not yet."""
        for _ in range(MAX_ROUNDS):
            current = await current_state(self._bus, self._read_model, timer.run_id, command=None, sure=True)
            state, run = current.state, current.state.run
            if run is None or state.spec is None or run.host is None:
                return
            if run.status is not Status.UNREACHABLE or run.attempt != timer.attempt:
                return
            claimed = self._claimed_at(run)
            since = await self._last_heard(run.host, claimed)
            moment = await self._bus.time()
            away, due = (moment - since).total_seconds(), given_up_after(state.spec)
            # Nor is it given up when nobody could have heard it: broker or control plane were away themselves.
            left = max(due - away, min(due, _LISTENED_SECONDS) - self._heard.listening_seconds)
            if left > 0:
                at = moment + timedelta(seconds=left)
                await set_timer(self._bus, "lost", timer.run_id, timer.attempt, at)
                return
            failure = _failure(run.host, away, safe=ends_by_itself(state.spec))
            order = _unheard_kill(current.records)
            fact: Value = fact_after(run, state.spec, ending="lost", failure=failure)
            if (
                order is not None
            ):  # it waits for the host: whoever wanted the run killed wants no other attempt
                by = f"; its kill was ordered by {order.actor.principal} ({order.actor.surface}) meanwhile"
                fact = RunLost(failure=failure.model_copy(update={"message": failure.message + by}))
            if await self._publish(timer.run_id, current, fact, run.attempt):
                log.warning("%s is given up: %s", timer.run_id, failure.message)
                return
        raise LostTooOften(f"{timer.run_id} could not be given up: it is tried again later")

    def _claimed_at(self, run: Run) -> datetime | None:
        """When the broker stored the claim of its attempt."""
        for seq, record in self._read_model.story(run.run_id, {RunClaimed.__name__}):
            if isinstance(record.data, RunClaimed) and record.data.attempt == run.attempt:
                return self._read_model.stored_at(seq)
        return None

    async def _last_heard(self, host: str, claimed: datetime | None) -> datetime:
        """When the broker last stored something by which the host renewed its lease. Raises Unavailable."""
        beat = await self._bus.last_message(TELEMETRY_STREAM, telemetry(host))
        heard = _EPOCH + timedelta(microseconds=beat.time_ns // 1000) if beat is not None else None
        found = max(filter(None, (heard, claimed)), default=None)
        if found is None:
            joined = self._read_model.host(host)
            if joined is None:
                raise Unavailable(f"host {host} is not known")
            return joined.joined_at
        return found


def _failure(host: str, away: float, *, safe: bool) -> Failure:
    """``safe``: nothing of it can be alive there."""
    why = f"host {host} was not heard from for {away:.0f} s"
    if safe:
        return Failure(
            kind="host_lost",
            message=f"{why}; it has ended the run by then, as disconnect.stop_after says",
        )
    return Failure(
        kind="host_away",
        message=f"{why}; its processes may be alive there until it returns (without disconnect.stop_after nobody ends "
        f"them, so no other attempt is begun)",
    )


def _unheard_kill(records: Iterable[Envelope]) -> Envelope | None:
    """An order to kill the run that nothing has followed yet."""
    told = list(records)
    answered = {record.command_id for record in told if not record.is_command}
    return next(
        (record for record in told if isinstance(record.data, KillRun) and record.command_id not in answered),
        None,
    )
