"""The HTTP application of the control plane."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from control_plane.api import (
    checkpoints,
    debugging,
    diagnoses,
    events,
    health,
    hosts,
    logs,
    notifications,
    rebuild,
    reference,
    runs,
    stream,
    unmatched,
    workflows,
)
from control_plane.api.boundary import BodyLimit, Boundary
from control_plane.api.mcp_proxy import McpProxy
from control_plane.api.metrics import RequestMetrics
from control_plane.api.once import Once
from control_plane.api.openapi import document_of
from control_plane.api.problems import on_http_exception, on_invalid_request, on_runplane_error
from control_plane.auth import Authentication
from control_plane.context import Context
from control_plane.metrics import Scrape
from control_plane.tokens import Tokens
from runplane.contract.errors import RunplaneError

PAGES = ("/docs", "/openapi.json")


def create_app(context: Context) -> FastAPI:
    """Wire the routes, the gate and the boundary around the parts of the control plane."""
    app = FastAPI(
        title="Runplane",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        openapi_url=PAGES[1],
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    _wire_state(app, context)
    modules = (
        runs,
        debugging,
        checkpoints,
        diagnoses,
        logs,
        events,
        stream,
        workflows,
        hosts,
        rebuild,
        notifications,
        health,
        reference,
    )
    for module in modules:
        app.include_router(module.router)
    app.router.routes.append(app.state.mcp.route)
    app.openapi = document_of(app)  # type: ignore[method-assign]
    app.router.routes.extend(unmatched.routes(unmatched.Methods(app.openapi()["paths"], PAGES)))
    _mount_dashboard(app, context)
    app.add_exception_handler(RunplaneError, on_runplane_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_exception)
    tokens = Tokens.from_file(context.settings.token_file)
    app.add_middleware(BodyLimit)
    app.add_middleware(Authentication, tokens=tokens, allowed_hosts=context.settings.allowed_hosts)
    app.add_middleware(Boundary, position=lambda: context.read_model.position, metrics=app.state.metrics)
    return app


def _wire_state(app: FastAPI, context: Context) -> None:
    app.state.context = context
    app.state.once = Once(context.idempotency)
    app.state.metrics = RequestMetrics()
    app.state.scrape = Scrape()
    app.state.metrics.registry.register(health.collector(context, lambda: app.state.scrape))
    app.state.mcp = McpProxy(context.settings)


def _mount_dashboard(app: FastAPI, context: Context) -> None:
    """Add the pages, where this installation has them."""
    if find_spec("control_plane.dashboard") is not None:
        from control_plane.dashboard import mount  # noqa: PLC0415

        mount(app, context)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.mcp.close()


def _version() -> str:
    try:
        return version("runplane")
    except PackageNotFoundError:
        return "0"
