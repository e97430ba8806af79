"""Rebuild: is the read model what the log says?"""

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.parts import BASE, ContextOf, answer, problems
from control_plane.rebuild import RebuildReport

router = APIRouter(prefix=BASE, tags=["events"])


@router.post(
    "/rebuild",
    summary="Compare the read model with the log",
    response_model=RebuildReport,
    responses=problems(503),
)
async def rebuild(context: ContextOf) -> Response:
    """Fold the whole log anew beside the live read model, and compare the two byte for byte. Changes nothing."""
    return answer(await context.rebuild())
