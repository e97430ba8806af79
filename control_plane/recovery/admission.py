"""Lets runs in whose workflow limits how many may be open at once, and keeps the times that begin with acceptance.

Owns the step from an order to start that came to the plane to the same order to a pool or a host. That a run was let in
is a fact in its story, published by compare-and-set over all such facts of its group, so that replicas that decide at
the same time never let in one too many: whoever comes second counts again. Runs leave a group by ending.
"""

import asyncio
import logging
from collections import defaultdict
from datetime import timedelta

from control_plane.command_side.runs import full
from control_plane.plane_decisions import MAX_ROUNDS, SOURCE, LostTooOften, current_state, until_projected
from control_plane.read_model import ReadModel
from control_plane.recovery.timers import RunTimer, set_timer
from control_plane.restarts import ENDINGS
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import EndAttempt, KillRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import RunAdmitted, RunCanceled, RunTimedOut
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Failure, Status
from runplane.contract.spec import Concurrency, RunSpec
from runplane.contract.subjects import (
    LOG_STREAM,
    group_event,
    group_events,
    host_command,
    plane_command,
    plane_event,
    pool_command,
    run_events,
)
from runplane.contract.value import Value
from runplane.core.decide import owner
from runplane.stamp import stamp

log = logging.getLogger("control_plane.recovery")

CONCURRENCY = Actor(principal="policy:concurrency", surface="policy")
_AGAIN_SECONDS = 30.0
TIMEOUT = Actor(principal="policy:timeout", surface="policy")


class Admission:
    """Of every run whose order to start came to the plane."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`start`, :meth:`handle` or a timer."""
        self._bus = bus
        self._read_model = read_model
        self._groups: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self, order: Envelope, start: StartRun, seq: int) -> None:
        """An order to start: begin its times, and hand it on, or let it wait for its turn."""
        await until_projected(self._read_model, seq)
        asked_at = self._read_model.stored_at(seq) or order.time
        times = start.spec.timeouts
        if times.run is not None:
            await set_timer(self._bus, "run", start.run_id, 1, asked_at + timedelta(seconds=times.run))
        if times.queue is not None:
            await set_timer(self._bus, "queue", start.run_id, 1, asked_at + timedelta(seconds=times.queue))
        if start.spec.concurrency is None:
            await self._hand_on(start.run_id, start.spec, order)
            return
        await self._make_room(order, start, start.spec.concurrency)
        await self._admit(start.spec.concurrency)
        await self._hand_on_admitted(start.run_id)  # a restart may be let in before it may begin

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """A run has ended: another of its group may begin; or one was let in, and is handed on."""
        if envelope.run_id is None:
            return
        if isinstance(envelope.data, RunAdmitted):
            await until_projected(self._read_model, seq)
            await self._hand_on_admitted(envelope.run_id)
        elif envelope.type in ENDINGS:
            await until_projected(self._read_model, seq)
            state = self._read_model.state(envelope.run_id)
            if state is not None and state.spec is not None and state.spec.concurrency is not None:
                await self._admit(state.spec.concurrency)

    async def time_out_run(self, timer: RunTimer) -> None:
        """All the time of a run is up, however many attempts it had."""
        state = self._read_model.state(timer.run_id)
        if state is None or state.run is None or state.spec is None or state.run.status.ended:
            return
        failure = Failure(
            kind="run_timeout",
            message=f"its time of {state.spec.timeouts.run or 0:g} s for the whole run (timeouts.run) was up in "
            f"attempt {state.run.attempt}",
        )
        host = owner(state)
        if host is None:
            await self._end_pending(timer, failure)
            return
        command = EndAttempt(
            run_id=timer.run_id, attempt=state.run.attempt, ending="timed_out", failure=failure
        )
        if not self._is_ordered(command):
            await self._order(command, host, TIMEOUT, "run", str(state.run.attempt))
        # Should it be between two attempts by the time that this arrives, it is looked at once more.
        again = await self._bus.time() + timedelta(seconds=_AGAIN_SECONDS)
        await set_timer(self._bus, "run", timer.run_id, state.run.attempt, again)

    def _is_ordered(self, command: EndAttempt) -> bool:
        """Whether this end stands in the story: an order to a host that is away is given once."""
        given = self._read_model.story(command.run_id, {EndAttempt.__name__})
        return any(record.data == command for _, record in given)

    async def time_out_queue(self, timer: RunTimer) -> None:
        """The time is up within which its first attempt was to be begun."""
        state = self._read_model.state(timer.run_id)
        if state is None or state.run is None or state.spec is None or state.run.attempts:
            return
        seconds = state.spec.timeouts.queue or 0
        waited = "for its turn" if state.run.queued else "for a host that takes it"
        failure = Failure(
            kind="queue_timeout",
            message=f"it waited {seconds:g} s {waited}, and may wait no longer (timeouts.queue): see runplane hosts",
        )
        await self._end_pending(timer, failure)

    async def _end_pending(self, timer: RunTimer, failure: Failure) -> None:
        for _ in range(MAX_ROUNDS):
            current = await current_state(self._bus, self._read_model, timer.run_id, command=None, sure=True)
            run = current.state.run
            if run is None or run.status is not Status.PENDING:
                return
            if timer.what == "queue" and run.attempts:
                return
            fact = self._fact(RunTimedOut(failure=failure), plane_event(timer.run_id), TIMEOUT, timer.what)
            if await self._publish(fact, Expect(run_events(timer.run_id), current.event_seq)):
                return
        raise LostTooOften(f"{timer.run_id} could not be timed out: it is tried again later")

    async def _make_room(self, order: Envelope, start: StartRun, limit: Concurrency) -> None:
        """Where runs do not wait for each other: this one is refused, or those in its way are ended."""
        inside, waiting = self._read_model.group(limit.group)
        others = [run_id for run_id in inside if run_id != start.run_id]
        if limit.when_full == "queue" or start.run_id in inside or len(others) < limit.limit:
            return
        if limit.when_full == "reject":
            await self._cancel(start.run_id, full(start.spec.workflow, limit, others))
            return
        why = f"{start.run_id} was started in its place (concurrency.when_full: replace)"
        for run_id in waiting[: waiting.index(start.run_id) if start.run_id in waiting else 0]:
            await self._cancel(run_id, why)
        for run_id in others[: len(others) + 1 - limit.limit]:
            state = self._read_model.state(run_id)
            if state is not None and state.run is not None and not state.run.status.ended:
                command = KillRun(run_id=run_id, reason=why)
                await self._order(command, owner(state, command), CONCURRENCY, order.id)

    async def _cancel(self, run_id: str, reason: str) -> None:
        for _ in range(MAX_ROUNDS):
            current = await current_state(self._bus, self._read_model, run_id, command=None, sure=True)
            run = current.state.run
            if run is None or run.status is not Status.PENDING or run.attempts:
                return
            fact = self._fact(RunCanceled(reason=reason), plane_event(run_id), CONCURRENCY, run_id)
            if await self._publish(fact, Expect(run_events(run_id), current.event_seq)):
                return
        raise LostTooOften(f"{run_id} could not be canceled: it is tried again later")

    async def _admit(self, limit: Concurrency) -> None:
        """Let in as many of those that wait as there is room for, the first that asked first."""
        async with self._groups[limit.group]:
            for _ in range(limit.limit + MAX_ROUNDS):
                last = await self._bus.last_message(LOG_STREAM, group_events(limit.group))
                position = last.seq if last is not None else 0
                await until_projected(self._read_model, position)
                inside, waiting = self._read_model.group(limit.group)
                if len(inside) >= limit.limit or not waiting:
                    return
                run_id = waiting[0]
                fact = self._fact(
                    RunAdmitted(group=limit.group), group_event(limit.group, run_id), CONCURRENCY, run_id
                )
                await self._publish(fact, Expect(group_events(limit.group), position))
        raise LostTooOften(f"runs of group {limit.group} could not be let in: it is tried again later")

    async def _hand_on_admitted(self, run_id: str) -> None:
        state = self._read_model.state(run_id)
        if state is None or state.run is None or state.spec is None or state.run.queued:
            return
        if state.run.status is not Status.PENDING or state.run.attempts:
            return
        wanted = self._read_model.story(run_id, {StartRun.__name__})
        order = next((record for _, record in wanted if isinstance(record.data, StartRun)), None)
        if order is not None:
            await self._hand_on(run_id, state.spec, order)

    async def _hand_on(self, run_id: str, spec: RunSpec, order: Envelope) -> None:
        sent = order.model_copy(
            update={
                "id": derive_record_id(order.id, "admitted", run_id),
                "subject": host_command(spec.host, run_id)
                if spec.host is not None
                else pool_command(spec.pool, run_id),
                "source": SOURCE,
                "causation_id": order.id,
            }
        )
        await self._bus.publish(sent)

    async def _order(
        self, command: KillRun | EndAttempt, host: str | None, actor: Actor, *cause: str
    ) -> None:
        run_id = command.run_id
        sent = stamp(
            command,
            subject=host_command(host, run_id) if host is not None else plane_command(run_id),
            source=SOURCE,
            actor=actor,
            record_id=derive_record_id(type(command).__name__, run_id, *cause),
        )
        await self._bus.publish(sent)

    def _fact(self, fact: Value, subject: str, actor: Actor, what: str) -> Envelope:
        record_id = derive_record_id(type(fact).__name__, subject, what)
        return stamp(fact, subject=subject, source=SOURCE, actor=actor, record_id=record_id)

    async def _publish(self, fact: Envelope, expect: Expect) -> bool:
        try:
            await self._bus.publish(fact, expect=expect)
        except CompareFailed:
            return False
        return True
