"""A notification that is due: what the broker keeps until its time has come, and then hands over.

It holds no text and no address: what is told is made from the log when it is sent.
"""

from datetime import datetime

from control_plane.notifications.settings import About, TargetName
from runplane.bus import Bus
from runplane.contract.ids import RunId
from runplane.contract.subjects import due, timer
from runplane.contract.value import Value

KIND = "notify"


class Due(Value):
    """To be told to ``target`` because of the record at ``seq``; ``attempts`` have failed so far."""

    notification_id: str
    target: TargetName
    about: About
    run_id: RunId
    seq: int
    attempts: int = 0


def due_subject(target: str) -> str:
    """Where the notifications of one target come when they are due."""
    return due(KIND, target)


async def set_due(bus: Bus, one: Due, at: datetime) -> None:
    """Have it handed over at that moment. Doing it twice changes nothing."""
    await bus.set_timer(
        at,
        key=timer(KIND, one.target, one.notification_id),
        due=due_subject(one.target),
        payload=one.model_dump_json().encode(),
        message_id=f"{one.notification_id}/{one.attempts}",
    )
