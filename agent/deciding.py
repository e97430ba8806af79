"""What follows from an order, a refusal included. Called by the keeper and the supervisor."""

from datetime import datetime

from runplane.contract.commands import RunCommand
from runplane.contract.events import CommandRejected, RunEvent
from runplane.core.decide import Rejection, decide
from runplane.core.state import RunState


def decided(state: RunState, command: RunCommand, moment: datetime) -> tuple[RunEvent, ...]:
    """The facts, in order; a refusal is one, too."""
    decision = decide(state, command, moment)
    if not isinstance(decision, Rejection):
        return decision
    refused = CommandRejected(
        command=type(command).__name__,
        code=decision.code,
        message=decision.message,
        detail=decision.detail,
    )
    return (refused,)
