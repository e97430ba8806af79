"""Health: is it alive, is it ready, how is each part, and the figures for Prometheus."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import Health, Liveness
from control_plane.api.parts import ContextOf, answer
from control_plane.context import Context
from control_plane.health import report
from control_plane.metrics import PlaneCollector, Scrape, look

router = APIRouter(tags=["health"])

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/livez", summary="Whether the process answers", response_model=Liveness, openapi_extra={"security": []}
)
async def livez() -> Response:
    """Open without a token."""
    return answer(Liveness(status="ok"))


@router.get(
    "/readyz",
    summary="Whether requests can be served",
    response_model=Liveness,
    responses={503: {"model": Liveness, "description": "Not yet, or not at the moment"}},
    openapi_extra={"security": []},
)
async def readyz(context: ContextOf) -> Response:
    """Open without a token; why it is not ready stands in `/healthz`."""
    ready = context.not_ready() is None
    return answer(Liveness(status="ready" if ready else "not_ready"), 200 if ready else 503)


@router.get(
    "/healthz",
    summary="How each part is",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part has failed"}},
)
async def healthz(context: ContextOf) -> Response:
    """Every check with its figures, and what to do (`todo`). `degraded` still serves; `failed` does not."""
    checks = await report(context)
    statuses = {check.status for check in checks}
    worst = next((status for status in ("failed", "degraded") if status in statuses), "ok")
    health = Health.model_validate({"status": worst, "version": _version(), "checks": checks})
    return answer(health, 503 if worst == "failed" else 200)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def metrics(request: Request, context: ContextOf) -> Response:
    """Runs, endings, records of the log, hosts, storage, requests; names and units by Prometheus' conventions."""
    request.app.state.scrape = await look(context)
    return Response(request.app.state.metrics.render(), headers={"content-type": _METRICS_TYPE})


def collector(context: Context, latest: Callable[[], Scrape]) -> PlaneCollector:
    """The figures of this control plane."""
    return PlaneCollector(context, _version(), latest)


def _version() -> str:
    try:
        return version("runplane")
    except PackageNotFoundError:
        return "unknown"
