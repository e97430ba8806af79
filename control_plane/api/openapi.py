"""The OpenAPI 3.1 document: what the routes declare, and what holds for all of them."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from control_plane.api.parts import problems
from control_plane.api.schemas import request_schemas

DESCRIPTION = """\
Kill, restart, watch, debug and recover long-running workflow runs.

- **Access**: `Authorization: Bearer TOKEN`, or `X-API-Key: TOKEN`. The token stands in `$RUNPLANE_HOME/token`.
- **Errors** are `application/problem+json` (RFC 9457). `code` is stable; `detail` says what to do.
- **Positions**: every answer carries `Runplane-Seq`, the log position it reflects. `?min_seq=N` on any read waits until
  position N is reflected, or answers 503.
- **Waiting**: `?wait=SECONDS` (at most 60) on a mutation holds the answer until the effect is visible.
- **Repeating**: with `Idempotency-Key`, the same request has one effect and gets the same answer
  (`Idempotency-Replayed: true`); another request under the same key is a 422.
- **Surface**: `Runplane-Surface: cli|mcp|api|dashboard` is written beside the principal into the log.
"""
_SEQ = {
    "description": "The log position that this answer reflects",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}
_REQUEST_ID = {"description": "Names this request in our log", "required": True, "schema": {"type": "string"}}
_REPLAYED = {
    "description": "`true` where this is the stored answer to the same request",
    "schema": {"type": "string", "enum": ["true"]},
}
_CHALLENGE = {"description": "How to authenticate", "required": True, "schema": {"type": "string"}}
_LOCATION = {"description": "Where the new thing is", "required": True, "schema": {"type": "string"}}
_OPEN = frozenset({"/livez", "/readyz"})


def document_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What ``app.openapi`` is to be: builds the document once."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    return build


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=DESCRIPTION,
        routes=app.routes,
        tags=[
            {
                "name": "runs",
                "description": "Start, list, look at, kill, restart, force-complete, pause, read output",
            },
            {"name": "workflows", "description": "The registry"},
            {"name": "hosts", "description": "The fleet"},
            {"name": "events", "description": "The audit log and the live stream"},
            {"name": "notifications", "description": "Who is told of what"},
            {"name": "health", "description": "Outside the base path"},
        ],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas |= request_schemas()
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"apiKey": []}]
    _plain_tuples(schemas)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _plain_tuples(value: Any) -> None:
    """Write a tuple of equal members as an array of so many: the same, and understood by more tools."""
    if isinstance(value, dict):
        members = value.get("prefixItems")
        if "items" not in value and members and all(member == members[0] for member in members):
            value["items"] = value.pop("prefixItems")[0]
        for inner in value.values():
            _plain_tuples(inner)
    elif isinstance(value, list):
        for inner in value:
            _plain_tuples(inner)


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add what no single route says: problems of the gate and the boundary, and the headers of every answer."""
    responses: dict[str, Any] = operation["responses"]
    everywhere = (403,) if path in _OPEN else (401, 403, 422)
    with_body = (400, 408, 413, 415) if "requestBody" in operation else ()
    responses.pop("422", None)
    for status, response in problems(*everywhere, *with_body, 500).items():
        responses.setdefault(str(status), response)
    mutates = any(parameter.get("name") == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        headers["Runplane-Seq"] = _SEQ
        headers["Runplane-Request-Id"] = _REQUEST_ID
        if status == "401":
            headers["WWW-Authenticate"] = _CHALLENGE
        if status == "201":
            headers["Location"] = _LOCATION
        if mutates and status.startswith("2"):
            headers["Idempotency-Replayed"] = _REPLAYED
