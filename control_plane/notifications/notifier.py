"""Turns events into notifications that are due. The process manager hands it every event.

Ids are derived from the event and the target, so handling an event twice tells nobody twice.
"""

import logging
from datetime import timedelta

from control_plane.notifications.configuration import Configuration
from control_plane.notifications.due import Due, set_due
from control_plane.notifications.policy import OLDEST_SECONDS, about_of, notification_id, told_of
from control_plane.plane_decisions import until_projected
from control_plane.read_model import ReadModel
from control_plane.restarts import ENDINGS
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.contract.events import AttemptFailed, ConditionRaised
from runplane.core.fold import initial
from runplane.stamp import now

log = logging.getLogger("control_plane.notifications")


class Notifier:
    """Handles the events that somebody may want to know of."""

    def __init__(self, bus: Bus, read_model: ReadModel, configuration: Configuration) -> None:
        """Nothing happens before :meth:`handle`."""
        self._bus = bus
        self._read_model = read_model
        self._configuration = configuration

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; nearly all of them concern nobody."""
        run_id = envelope.run_id
        is_raised = isinstance(envelope.data, ConditionRaised)
        is_open = isinstance(envelope.data, AttemptFailed)
        if run_id is None or not (is_raised or is_open or envelope.type in ENDINGS):
            return
        configuration = self._configuration.current()
        if not configuration.targets:
            return
        await until_projected(self._read_model, seq)
        before = self._read_model.state_at(run_id, seq - 1) if is_raised else initial()
        about = about_of(envelope, before, self._read_model.outcome_at(seq))
        run = self._read_model.run(run_id)
        if about is None or run is None:
            return
        stored_at = self._read_model.stored_at(seq)
        moment = now()
        if stored_at is None or moment - stored_at > timedelta(seconds=OLDEST_SECONDS):
            log.info("nobody is told of %s at %d: it is old", envelope.type, seq)
            return
        for target in told_of(configuration, about, run.workflow):
            one = Due(
                notification_id=notification_id(envelope.id, target.name),
                target=target.name,
                about=about,
                run_id=run_id,
                seq=seq,
            )
            await set_due(self._bus, one, moment)
