"""Health: is it alive, is it ready, how is each part, and the figures for Prometheus."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import Check, Health, Liveness
from control_plane.api.metrics import PlaneCollector
from control_plane.api.parts import ContextOf, answer
from control_plane.context import Context

router = APIRouter(tags=["health"])

CHECK_SECONDS = 3.0
LAGGING_RECORDS = 1_000
SCARCE_BYTES = 1 * 2**30
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
    """Every check with its figures. `degraded` still serves; `failed` does not."""
    checks = await asyncio.gather(*(_bounded(name, check(context)) for name, check in _CHECKS.items()))
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
async def metrics(request: Request) -> Response:
    """Runs by status, log position, projection lag, requests by route."""
    lag: int | None
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            lag = await request.app.state.context.projector.lag()
    except Exception:  # noqa: BLE001 — without the broker there is no figure, and the others still count
        lag = None
    request.app.state.lag = lag
    return Response(request.app.state.metrics.render(), headers={"content-type": _METRICS_TYPE})


def collector(context: Context, lag: Callable[[], int | None]) -> PlaneCollector:
    """The figures of this control plane."""
    return PlaneCollector(
        runs=context.read_model.status_counts,
        hosts=lambda: dict(Counter(host.status for host in context.read_model.hosts())),
        position=lambda: context.read_model.position,
        lag=lag,
        set_aside=lambda: context.read_model.set_aside_count,
        connected=lambda: context.bus.connected,
    )


async def _readiness(context: Context) -> Check:
    why = context.not_ready()
    return _check("readiness", "ok" if why is None else "failed", why or "requests can be served")


async def _broker(context: Context) -> Check:
    if not context.bus.connected:
        return _check(
            "broker", "failed", "the broker is not reached: is nats-server running?", connected=False
        )
    last = await context.bus.last_seq()
    fault = await context.bus.storage_fault()
    if fault is not None:
        detail = f"the broker stores nothing: {fault}. Make room on its disk. `up` then restarts its own"
        return _check("broker", "failed", detail, connected=True, last_seq=last, stores=False)
    return _check("broker", "ok", f"connected, the log ends at {last}", connected=True, last_seq=last)


async def _durability(context: Context) -> Check:
    synced = await context.bus.sync_always()
    if synced is None:
        detail = "it cannot be known whether the broker syncs every write: set RUNPLANE_NATS_SYS_URL"
        return _check("durability", "ok", detail, sync_always=None)
    if not synced:
        detail = "the broker does not sync every write: a power cut can lose accepted commands"
        return _check("durability", "degraded", detail, sync_always=False)
    return _check("durability", "ok", "acknowledged means on disk", sync_always=True)


async def _projection(context: Context) -> Check:
    position = context.read_model.position
    if context.projector.trouble is not None:
        return _check("projection", "failed", context.projector.trouble, position=position)
    lag = await context.projector.lag()
    status = "ok" if lag < LAGGING_RECORDS else "degraded"
    return _check("projection", status, f"{lag} records behind the log", position=position, lag=lag)


async def _records(context: Context) -> Check:
    count = context.read_model.set_aside_count
    if not count:
        return _check("records", "ok", "every record of the log can be read", set_aside=0)
    last = context.read_model.set_aside(1)[0]
    detail = (
        f"{count} records cannot be read and were set aside; the last one is {last.seq}: {last.why[:200]}"
    )
    return _check("records", "degraded", detail, set_aside=count, last_seq=last.seq)


async def _hosts(context: Context) -> Check:
    counts = Counter(host.status for host in context.read_model.hosts())
    online = counts.get("online", 0)
    figures = {name: counts.get(name, 0) for name in ("online", "draining", "absent")}
    if online:
        return _check("hosts", "ok", f"{online} online", **figures)
    return _check("hosts", "degraded", "no host is online: nothing starts until an agent joins", **figures)


async def _disk(context: Context) -> Check:
    usage = shutil.disk_usage(context.settings.home)
    status = "ok" if usage.free >= SCARCE_BYTES else "degraded"
    detail = (
        f"{usage.free // 2**20} MiB free of {usage.total // 2**20} MiB where {context.settings.home} lies"
    )
    return _check("disk", status, detail, free_bytes=usage.free, total_bytes=usage.total)


_CHECKS: dict[str, Callable[[Context], Awaitable[Check]]] = {
    "readiness": _readiness,
    "broker": _broker,
    "durability": _durability,
    "projection": _projection,
    "records": _records,
    "hosts": _hosts,
    "disk": _disk,
}


async def _bounded(name: str, check: Awaitable[Check]) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return _check(name, "failed", f"no answer within {CHECK_SECONDS:g} s")
    except Exception as error:  # noqa: BLE001 — a check that fails is a finding, not a failure of the answer
        return _check(name, "failed", f"{type(error).__name__}: {error}"[:300])


def _check(name: str, status: str, detail: str, **figures: JsonValue) -> Check:
    return Check.model_validate({"name": name, "status": status, "detail": detail, "figures": figures})


def _version() -> str:
    try:
        return version("runplane")
    except PackageNotFoundError:
        return "unknown"
