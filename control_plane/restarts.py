"""The second half of a restart: when a run has ended and another is to follow it, that other one is started.

It does not matter whether the ending or the acceptance of the restart comes first, nor how often either is handed
over: the order to start has an id derived from the order to restart. A run that was itself restarted before it ever
began waits for all before it, so that two trees of one chain never live side by side. Where a restart is refused,
the run that was to follow is canceled.
"""

import logging

from control_plane.plane_decisions import (
    MAX_ROUNDS,
    SOURCE,
    Current,
    LostTooOften,
    current_state,
    until_projected,
)
from control_plane.read_model import EventFilter, ReadModel
from control_plane.recovery.resumptions import PATIENCE, Resumptions
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import RestartRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import CommandRejected, RunCanceled
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Run, Status
from runplane.contract.subjects import host_command, plane_command, plane_event, pool_command, run_events
from runplane.stamp import now, stamp

log = logging.getLogger("control_plane.process_manager")

ENDINGS = frozenset(
    {"RunCompleted", "RunFailed", "RunKilled", "RunCanceled", "RunTimedOut", "RunLost", "OutcomeOverridden"}
)
_TRIGGERS = ENDINGS | {"RestartAccepted"}


class Restarts:
    """Handles the events that a restart turns on."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`handle`."""
        self._bus = bus
        self._read_model = read_model
        self._resumptions = Resumptions(bus)

    async def handle(self, envelope: Envelope, seq: int, *, again: bool) -> None:
        """Look at one event; nearly all of them are no concern of a restart."""
        if isinstance(envelope.data, CommandRejected) and envelope.data.command == RestartRun.__name__:
            await until_projected(self._read_model, seq)
            await self._withdraw(envelope, envelope.data, again=again)
        elif envelope.type in _TRIGGERS and envelope.run_id is not None:
            await until_projected(self._read_model, seq)
            await self._start_next(envelope.run_id, again=again)

    async def _start_next(self, run_id: str, *, again: bool) -> None:
        next_id = self._next_of(run_id)
        if next_id is None:
            return
        for attempt in range(MAX_ROUNDS):
            current = await current_state(
                self._bus, self._read_model, next_id, command=None, sure=again or attempt > 0
            )
            order = await self._start_order(next_id, current, sure=again or attempt > 0)
            if order is None:
                return
            try:
                await self._bus.publish(order, expect=Expect(run_events(next_id), current.event_seq))
            except CompareFailed:
                continue
            log.info("%s follows %s", next_id, run_id)
            return
        raise LostTooOften(f"the start of {next_id} lost {MAX_ROUNDS} times: it is tried again later")

    def _next_of(self, run_id: str) -> str | None:
        """The run that is to be started now that ``run_id`` stands as it does; None where none is."""
        run = self._run(run_id)
        seen: set[str] = set()
        while (
            run is not None and run.status.ended and run.restarted_as is not None and run.run_id not in seen
        ):
            seen.add(run.run_id)
            run = self._run(run.restarted_as)
        if run is None or not seen or run.status is not Status.PENDING or run.attempt != 0:
            return None
        return run.run_id if self._all_before_have_ended(run) else None

    def _all_before_have_ended(self, run: Run) -> bool:
        """Whether no tree of the chain can be alive: one that began did so when those before it had ended."""
        seen: set[str] = set()
        before = self._run(run.restarted_from)
        while before is not None and before.run_id not in seen:
            if not before.status.ended:
                return False
            if before.attempt > 0:
                return True
            seen.add(before.run_id)
            before = self._run(before.restarted_from)
        return True

    async def _start_order(self, next_id: str, current: Current, *, sure: bool) -> Envelope | None:
        state = current.state
        if (
            state.run is None
            or state.spec is None
            or state.run.status is not Status.PENDING
            or state.run.attempt != 0
        ):
            return None
        wanted = {StartRun.__name__, RestartRun.__name__}
        records = (
            current.records if sure else [record for _, record in self._read_model.story(next_id, wanted)]
        )
        restart = next((record for record in records if isinstance(record.data, RestartRun)), None)
        if restart is None or any(isinstance(record.data, StartRun) for record in records):
            return None
        spec = state.spec
        ending = self._ending_of(state.run.restarted_from)
        resume = None
        if isinstance(restart.data, RestartRun) and restart.data.resume:
            ended_at = self._read_model.stored_at(ending[0]) if ending is not None else None
            patient = ended_at is not None and now() - ended_at < PATIENCE
            resume = await self._resumptions.of(restart.data.run_id, patient=patient)
        return stamp(
            StartRun(run_id=next_id, spec=spec, resume=resume),
            subject=plane_command(next_id)
            if spec.is_admitted_by_the_plane
            else host_command(spec.host, next_id)
            if spec.host is not None
            else pool_command(spec.pool, next_id),
            source=SOURCE,
            actor=Actor(principal=restart.actor.principal, surface="policy"),
            cause=ending[1] if ending is not None else restart,
            record_id=derive_record_id(restart.id, "start", next_id),
        )

    def _ending_of(self, run_id: str | None) -> tuple[int, Envelope] | None:
        """The record that ended the run, and its position: the first ending in log order."""
        endings = self._read_model.story(run_id, ENDINGS) if run_id is not None else []
        return endings[0] if endings else None

    async def _withdraw(self, envelope: Envelope, rejected: CommandRejected, *, again: bool) -> None:
        """Cancel the run that was to follow one whose restart was refused."""
        if envelope.command_id is None:
            return
        orders = self._read_model.events(
            EventFilter(type=RestartRun.__name__, command_id=envelope.command_id)
        )
        for new_id in {order.data.new_run_id for _, order in orders if isinstance(order.data, RestartRun)}:
            for attempt in range(MAX_ROUNDS):
                current = await current_state(
                    self._bus, self._read_model, new_id, command=None, sure=again or attempt > 0
                )
                run = current.state.run
                if run is None or run.status is not Status.PENDING or self._is_accepted(run):
                    break
                canceled = stamp(
                    RunCanceled(
                        reason=f"the restart of {run.restarted_from} was refused: {rejected.message}"
                    ),
                    subject=plane_event(new_id),
                    source=SOURCE,
                    actor=envelope.actor,
                    cause=envelope,
                    record_id=derive_record_id(envelope.command_id, "withdrawn", new_id),
                )
                try:
                    await self._bus.publish(canceled, expect=Expect(run_events(new_id), current.event_seq))
                    break
                except CompareFailed:
                    continue

    def _is_accepted(self, run: Run) -> bool:
        before = self._run(run.restarted_from)
        return before is not None and before.restarted_as == run.run_id

    def _run(self, run_id: str | None) -> Run | None:
        state = self._read_model.state(run_id) if run_id is not None else None
        return state.run if state is not None else None
