"""The fleet."""

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.documents import HostList
from control_plane.api.parts import BASE, ContextOf, HostIdOf, Reflects, answer, problems
from control_plane.read_model import HostView
from runplane.contract.errors import NotFound

router = APIRouter(prefix=BASE, tags=["hosts"])


@router.get(
    "/hosts", summary="List hosts", response_model=HostList, responses=problems(503), dependencies=[Reflects]
)
async def list_hosts(context: ContextOf) -> Response:
    """Every host that ever joined, by id."""
    return answer(HostList(items=tuple(context.read_model.hosts())))


@router.get(
    "/hosts/{host_id}",
    summary="Look at a host",
    response_model=HostView,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def get_host(context: ContextOf, host_id: HostIdOf) -> Response:
    """One host."""
    view = context.read_model.host(host_id)
    if view is None:
        raise NotFound(f"there is no host {host_id}: see runplane hosts", code="host_not_found", host=host_id)
    return answer(view)
