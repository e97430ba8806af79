"""Begins the next attempt of a run when its time has come. The process manager hands it every event.

Owns the step from a failed attempt to the order for the next one: ``AttemptFailed`` is followed by ``RetryScheduled``,
that by a timer of the broker, that by ``StartRun``. Each has an id derived from the one before, so that a plane that
dies in between, or comes twice, begins no attempt twice.
"""

import logging
from datetime import timedelta

from control_plane.plane_decisions import MAX_ROUNDS, SOURCE, LostTooOften, current_state, until_projected
from control_plane.read_model import ReadModel
from control_plane.recovery import budget
from control_plane.recovery.resumptions import PATIENCE, Resumptions
from control_plane.recovery.timers import RunTimer, set_timer
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import AttemptFailed, RetryScheduled
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Resumption, Run, Status
from runplane.contract.subjects import host_command, plane_event, pool_command, run_events
from runplane.core.state import RunState
from runplane.stamp import now, stamp

log = logging.getLogger("control_plane.recovery")

POLICY = Actor(principal="policy:retry", surface="policy")


class Retries:
    """Handles the events that say that a run is to be attempted again, and the timers that come of them."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`handle` or :meth:`begin`."""
        self._bus = bus
        self._read_model = read_model
        self._resumptions = Resumptions(bus)

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; nearly all of them are no concern of this."""
        data = envelope.data
        if envelope.run_id is None:
            return
        if isinstance(data, AttemptFailed) and data.next == "attempt":
            await until_projected(self._read_model, seq)
            await self._schedule(envelope, envelope.run_id, data, seq)
        elif isinstance(data, RetryScheduled):
            await until_projected(self._read_model, seq)
            run = self._read_model.run(envelope.run_id)
            if run is not None and _waits_for(run, data.attempt):
                await set_timer(self._bus, "retry", envelope.run_id, data.attempt, data.at)

    async def _schedule(self, failed: Envelope, run_id: str, data: AttemptFailed, seq: int) -> None:
        """Say when the next attempt is to begin; once for each attempt that failed."""
        scheduled: Envelope | None = None
        for _ in range(MAX_ROUNDS):
            current = await current_state(self._bus, self._read_model, run_id, command=None, sure=True)
            run = current.state.run
            if run is None or not _waits_for(run, run.attempt + 1) or failed.attempt != run.attempt:
                return
            if run.next_attempt is not None and run.next_attempt.at is not None:
                return
            scheduled = scheduled or self._scheduled(failed, run, data, seq)
            try:
                await self._bus.publish(scheduled, expect=Expect(run_events(run_id), current.event_seq))
            except CompareFailed:
                continue
            return
        raise LostTooOften(f"the next attempt of {run_id} could not be scheduled: it is tried again later")

    def _scheduled(self, failed: Envelope, run: Run, data: AttemptFailed, seq: int) -> Envelope:
        ended_at = self._read_model.stored_at(seq) or now()
        count, runs = self._read_model.failed_attempts(run.workflow, ended_at - budget.WINDOW)
        longer = budget.slowed(data.delay_seconds, failed=count, runs=runs)
        why = data.failure.message
        if longer is not None:
            why = (
                f"crash loop: {count} attempts of {run.workflow} failed within 10 minutes, so this one waits "
                f"{longer:.0f} s instead of {data.delay_seconds:.0f} s; the last failure: {why}"
            )
            log.warning("%s: %s", run.run_id, why)
        scheduled = RetryScheduled(
            attempt=run.attempt + 1,
            at=ended_at + timedelta(seconds=longer if longer is not None else data.delay_seconds),
            resume=data.resume,
            why=why,
            slowed=longer is not None,
        )
        return stamp(
            scheduled,
            subject=plane_event(run.run_id),
            source=SOURCE,
            actor=POLICY,
            cause=failed,
            record_id=derive_record_id(failed.id, "scheduled"),
        )

    async def begin(self, timer: RunTimer) -> None:
        """The time of an attempt has come: order it, unless something else became of the run meanwhile."""
        current = await current_state(self._bus, self._read_model, timer.run_id, command=None, sure=True)
        state, run = current.state, current.state.run
        if run is None or state.spec is None or not _waits_for(run, timer.attempt):
            return
        following = run.next_attempt
        if following is None or following.at is None or following.at > timer.at:
            return  # it was scheduled anew, and has another timer
        if any(_orders(record, timer.attempt) for record in current.records):
            return
        resume = None
        if following.resume:
            patient = now() - following.at < PATIENCE
            resume = await self._resumptions.of(run.run_id, patient=patient)
        await self._bus.publish(self._order(state, run, current.records, timer.attempt, resume))
        log.info("attempt %d of %s begins", timer.attempt, run.run_id)

    def _order(
        self,
        state: RunState,
        run: Run,
        records: tuple[Envelope, ...],
        attempt: int,
        resume: Resumption | None,
    ) -> Envelope:
        spec = state.spec
        assert spec is not None  # noqa: S101 — the caller has looked
        cause = next(
            record
            for record in reversed(records)
            if isinstance(record.data, RetryScheduled) and record.data.attempt == attempt
        )
        return stamp(
            StartRun(run_id=run.run_id, spec=spec, attempt=attempt, resume=resume, recovers=run.recovers),
            subject=host_command(spec.host, run.run_id)
            if spec.host is not None
            else pool_command(spec.pool, run.run_id),
            source=SOURCE,
            actor=cause.actor,
            cause=cause,
            record_id=derive_record_id(run.run_id, "attempt", str(attempt)),
        )


def _waits_for(run: Run, attempt: int) -> bool:
    return run.status is Status.PENDING and bool(run.attempts) and run.attempt + 1 == attempt


def _orders(record: Envelope, attempt: int) -> bool:
    return isinstance(record.data, StartRun) and record.data.attempt == attempt
