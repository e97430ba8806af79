"""Gives the order that a workflow wants given when a run of it is stuck. The process manager hands it every event.

The order's id is derived from the event, so handling it twice gives one order; its actor is the policy.
"""

import logging

from control_plane.plane_decisions import SOURCE, until_projected
from control_plane.read_model import ReadModel
from runplane.bus import Bus, CompareFailed, Expect
from runplane.contract.commands import RestartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import ConditionRaised
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor
from runplane.contract.subjects import host_command, plane_command, run_story
from runplane.core.decide import owner
from runplane.core.policies import stuck
from runplane.stamp import stamp

log = logging.getLogger("control_plane.process_manager")

_POLICY = Actor(principal="policy:stuck", surface="policy")


class StuckActions:
    """Handles the events that say that a run is stuck."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`handle`."""
        self._bus = bus
        self._read_model = read_model

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; nearly all of them are no concern of this."""
        raised = envelope.data
        if (
            not isinstance(raised, ConditionRaised)
            or raised.condition.type != stuck.STUCK
            or envelope.run_id is None
        ):
            return
        await until_projected(self._read_model, seq)
        state = self._read_model.state(envelope.run_id)
        if state is None:
            return
        command = stuck.decide(
            state, raised.condition, cause=envelope.id, restarts_before=self._restarts_before(envelope.run_id)
        )
        if command is None:
            return
        is_restart = isinstance(command, RestartRun)
        story = command.new_run_id if isinstance(command, RestartRun) else command.run_id
        host = owner(state, command)
        order = stamp(
            command,
            subject=host_command(host, story) if host is not None else plane_command(story),
            source=SOURCE,
            actor=_POLICY,
            cause=envelope,
            record_id=derive_record_id(envelope.id, stuck.STUCK, "action"),
        )
        order = order.model_copy(update={"command_id": order.id})
        try:
            await self._bus.publish(order, expect=Expect(run_story(story), 0) if is_restart else None)
        except CompareFailed:
            return  # it was ordered before
        log.info("%s is stuck (%s): %s", envelope.run_id, raised.condition.verdict, type(command).__name__)

    def _restarts_before(self, run_id: str) -> int:
        """How many runs in a row before this one were restarted by this policy."""
        count = 0
        while count < stuck.MOST_RESTARTS * 400:
            orders = self._read_model.story(run_id, {RestartRun.__name__})
            order = next((record for _, record in orders), None)
            if (
                order is None
                or order.actor.principal != _POLICY.principal
                or not isinstance(order.data, RestartRun)
            ):
                return count
            count, run_id = count + 1, order.data.run_id
        return count
