"""What a request about a run is answered with, and where its command goes. For those who take such requests."""

from dataclasses import dataclass

from control_plane.command_side.desk import Placed
from control_plane.command_side.repetition import Repeatable
from runplane.contract import subjects
from runplane.contract.commands import RunCommand
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Conflict
from runplane.contract.run import Actor
from runplane.core.decide import Rejection, owner
from runplane.core.state import RunState


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What became of a request: the log holds it at ``seq``. ``already`` says that there was nothing to do."""

    command_id: str
    run_id: str
    seq: int
    new_run_id: str | None = None
    already: bool = False
    repeated: bool = False


def repeatable(actor: Actor, key: str | None, *content: str) -> Repeatable | None:
    """What makes a request with a key have one effect."""
    return Repeatable.of(actor.principal, key, *content) if key is not None else None


def destination(state: RunState, command: RunCommand, story_of: str) -> str:
    """The subject of whoever decides about the run."""
    host = owner(state, command)
    return subjects.host_command(host, story_of) if host is not None else subjects.plane_command(story_of)


def accepted(
    placed: Placed, run_id: str, *, new_run_id: str | None = None, already: bool = False
) -> Accepted:
    """What became of a request that was stored."""
    return Accepted(
        command_id=placed.envelope.command_id or placed.envelope.id,
        run_id=run_id,
        seq=placed.seq,
        new_run_id=new_run_id,
        already=already,
        repeated=placed.duplicate,
    )


def repeated(seq: int, envelope: Envelope) -> Accepted:
    """The same, of a request that was stored before."""
    return Accepted(
        command_id=envelope.id,
        run_id=getattr(envelope.data, "run_id", envelope.run_id or ""),
        seq=seq,
        new_run_id=getattr(envelope.data, "new_run_id", None),
        repeated=True,
    )


def conflict(rejection: Rejection, run_id: str) -> Conflict:
    """The refusal as an error."""
    return Conflict(rejection.message, code=rejection.code, **{"run_id": run_id, **rejection.detail})
