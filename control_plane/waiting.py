"""Waiting for an effect: an answer is held until the run has come so far, or its owner refused the order.

Nothing is polled: the projector tells. Whoever waits subscribes first and looks second, so nothing falls between.
"""

import asyncio
from collections.abc import Callable, Collection

from control_plane.read_model import EventFilter, ReadModel
from runplane.contract.errors import Conflict
from runplane.contract.events import CommandRejected
from runplane.contract.run import Run

ENDINGS = frozenset(
    {"RunKilled", "RunCanceled", "RunCompleted", "RunFailed", "RunTimedOut", "RunLost", "OutcomeOverridden"}
)
BEGINNINGS = ENDINGS | {"ProcessSpawned", "RunPaused", "RunTerminating", "RunUnreachable"}
PAUSES = ENDINGS | {"RunPaused", "RunContinued", "RunTerminating"}
VISIBLE_SECONDS = 2.0
"""How long an answer may be held for the projection to show what the broker has just stored."""


async def until(
    read_model: ReadModel,
    run_id: str,
    reached: Callable[[Run], bool],
    *,
    command_id: str,
    types: Collection[str],
    seconds: float,
) -> bool:
    """Wait until ``reached`` holds for the run; False when it did not within ``seconds``.

    ``types`` are the records that can bring it about. Raises Conflict when the command's owner refused it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with read_model.subscribe(types={*types, "CommandRejected"}) as changes:
        while True:
            run = read_model.run(run_id)
            if run is not None and reached(run):
                return True
            raise_if_rejected(read_model, command_id)
            try:
                async with asyncio.timeout_at(deadline):
                    async for change in changes:
                        about = change.run is not None and change.run.run_id == run_id
                        envelope = change.envelope
                        if about or envelope is None or envelope.command_id == command_id:
                            break
            except TimeoutError:
                return False


def raise_if_rejected(read_model: ReadModel, command_id: str) -> None:
    """Raise Conflict, with the owner's own words, when the command was refused by whom it was addressed to."""
    for _, envelope in read_model.events(EventFilter(command_id=command_id)):
        if isinstance(envelope.data, CommandRejected):
            refused = envelope.data
            raise Conflict(refused.message, code=refused.code, **{"command_id": command_id, **refused.detail})
