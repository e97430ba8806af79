"""Errors as RFC 9457 problem documents: every error of the application leaves as one of these."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from control_plane.command_side.parameters import shortened
from runplane.contract.errors import CallerError, InvalidInput, RunplaneError

log = logging.getLogger("control_plane.api")

MEDIA_TYPE = "application/problem+json"
_RESERVED = frozenset({"type", "title", "status", "detail", "code", "request_id"})


class FieldError(BaseModel):
    """One field that cannot be used: where it is, what it holds (shortened; null where it is not repeated), and why."""

    field: str
    value: str | None = None
    message: str


class Problem(BaseModel):
    """An error. ``code`` is stable and meant for programs; ``detail`` is meant for a person and says what to do."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:runplane:problem:run_not_found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no run run_0dcbc991c0d4: see runplane ps --all",
                    "code": "run_not_found",
                    "request_id": "4be1c1c44bd8a4f2",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: list[FieldError] | None = Field(default=None, description="The fields that cannot be used")


def answer(
    request: Request,
    *,
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    fields: dict[str, Any] | None = None,
) -> Response:
    """A problem document as a response; a field whose name the document has itself gets ``run_`` before it."""
    document = {
        "type": f"urn:runplane:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": getattr(request.state, "request_id", None),
        **{_free_name(name): _plain(value) for name, value in (fields or {}).items()},
    }
    content = json.dumps(document, ensure_ascii=True, allow_nan=False)
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=headers)


async def on_runplane_error(request: Request, error: Exception) -> Response:
    """An error of the contract: its own status and code."""
    assert isinstance(error, RunplaneError)  # noqa: S101 — registered for this class alone
    if not isinstance(error, CallerError):
        log.warning("%s %s: %s", request.method, request.url.path, error.message)
    fields = dict(error.fields)
    if isinstance(error, InvalidInput) and "errors" not in fields:
        value = fields.get("value")
        fields["errors"] = [
            {
                "field": str(fields.get("field", "")),
                "value": None if value is None else str(value),
                "message": error.message,
            }
        ]
    retry = {"Retry-After": "1"} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return answer(
        request,
        status=error.status,
        code=error.error_code,
        detail=error.message,
        headers=retry,
        fields=fields,
    )


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """A query, path or header value that cannot be used."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 — registered for this class alone
    return await on_runplane_error(request, invalid_input([dict(one) for one in error.errors()], skip=1))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself."""
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for this class alone
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    details = {
        404: f"there is nothing at {request.url.path[:200]}: see /docs",
        405: f"{request.method[:20]} is not possible here",
    }
    headers = dict(error.headers) if error.headers else None
    detail = details.get(error.status_code, str(error.detail))
    return answer(request, status=error.status_code, code=code, detail=detail, headers=headers)


def invalid_body(error: ValidationError) -> InvalidInput:
    """What pydantic says of a body, in our words."""
    found = error.errors(include_url=False, include_context=False)
    return invalid_input([dict(one) for one in found], skip=0)


def invalid_input(found: list[dict[str, Any]], *, skip: int) -> InvalidInput:
    """Pydantic's errors as one InvalidInput; ``skip`` leaves out the first parts of each location."""
    errors = [_field_error(one, skip) for one in found[:20]]
    return InvalidInput("; ".join(f"{one['field']}: {one['message']}" for one in errors), errors=errors)


def _field_error(one: dict[str, Any], skip: int) -> dict[str, str | None]:
    parts = [
        part for part in one["loc"][skip:] if not (isinstance(part, str) and ("[" in part or part == "str"))
    ]
    field = ".".join(str(part)[:80] for part in parts) or "body"
    match one["type"]:
        case "extra_forbidden":
            return {
                "field": field,
                "value": None,
                "message": "is not known here: correct the name or leave it out",
            }
        case "missing":
            return {"field": field, "value": None, "message": "is required and was not given"}
        case _:
            hidden = not parts or field.startswith("params") or "input" not in one
            message = str(one["msg"]).removeprefix("Value error, ")
            return {
                "field": field,
                "value": None if hidden else shortened(one["input"]),
                "message": message[:1000],
            }


def _free_name(name: str) -> str:
    return f"run_{name}" if name in _RESERVED else name


def _plain(value: Any) -> JsonValue:
    """A field of an error as JSON."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
