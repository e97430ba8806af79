"""What a mutation of a run is answered with: the run, once the effect of the order is visible or the wait is over."""

from collections.abc import Callable, Collection

from starlette.responses import Response

from control_plane.api.documents import Mutation
from control_plane.api.parts import answer
from control_plane.command_side import Accepted
from control_plane.context import Context
from control_plane.waiting import VISIBLE_SECONDS, until
from runplane.contract.errors import NotFound, Unavailable
from runplane.contract.run import Run


async def effect(
    context: Context,
    accepted: Accepted,
    run_id: str,
    *,
    reached: Callable[[Run], bool],
    types: Collection[str],
    wait: float,
) -> bool:
    """Hold until the effect is visible; without ``wait``, only until the order itself is."""
    visible = await context.read_model.wait_for(accepted.seq, VISIBLE_SECONDS)
    if not visible and context.read_model.run(run_id) is None:
        raise Unavailable(
            f"{run_id} is stored at log position {accepted.seq}, but the read model has not reached it yet"
            f"{_because(context)}: look again in a moment",
            code="position_not_reached",
            command_id=accepted.command_id,
            run_id=run_id,
            position=accepted.seq,
        )
    if not visible or not wait or accepted.already:
        return False
    return await until(
        context.read_model, run_id, reached, command_id=accepted.command_id, types=types, seconds=wait
    )


def mutation(
    context: Context, accepted: Accepted, reached: Callable[[Run], bool] = lambda run: run.status.ended
) -> Response:
    """What became of the order: 200 once its effect is reached, else 202."""
    run = run_of(context, accepted.run_id)
    return answer(Mutation(command_id=accepted.command_id, run=run), 200 if reached(run) else 202)


def run_of(context: Context, run_id: str) -> Run:
    """The run as it is now. NotFound, or Unavailable where the read model may not know it yet."""
    run = context.read_model.run(run_id)
    if run is None and (context.projector.trouble is not None or not context.projector.caught_up.is_set()):
        raise Unavailable(
            f"whether there is a run {run_id} is not known here, as the read model is behind the log"
            f"{_because(context)}: ask again in a moment",
            code="position_not_reached",
            run_id=run_id,
        )
    if run is None:
        raise NotFound(
            f"there is no run {run_id}: see runplane ps --all", code="run_not_found", run_id=run_id
        )
    return run


def _because(context: Context) -> str:
    return f" ({context.projector.trouble})" if context.projector.trouble is not None else ""
