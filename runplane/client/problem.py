"""An answer that is no success, as the error it stands for.

The body is RFC 9457 ``application/problem+json`` with a stable ``code``; whatever stands in front of the control plane
(a reverse proxy) may answer something else, so anything is taken. Members beyond the RFC's stay in ``fields``.
"""

import json
from http import HTTPStatus
from typing import Any

import httpx

from runplane.contract.errors import (
    BrokerRefused,
    CallerError,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RunplaneError,
    SystemFault,
    Unavailable,
)

_BY_STATUS: dict[int, type[RunplaneError]] = {
    HTTPStatus.UNAUTHORIZED: NotAuthenticated,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidInput,
    HTTPStatus.BAD_GATEWAY: Unavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: Unavailable,
    HTTPStatus.GATEWAY_TIMEOUT: Unavailable,
}
_RFC_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "code"})
_SHOWN = 300


def error_of(response: httpx.Response, body: bytes) -> RunplaneError:
    """The error that an answer other than 2xx stands for."""
    problem = _problem(body)
    kind = _kind(response.status_code, str(problem.get("code", "")))
    said = str(problem.get("detail") or problem.get("title") or "")
    if not said:
        text = body[:_SHOWN].decode(errors="replace").strip() or "without a word"
        said = f"{response.request.url.host} answered {response.status_code}: {text}"
    fields = {
        name: value for name, value in problem.items() if name not in _RFC_MEMBERS and name.isidentifier()
    }
    fields.pop("message", None)
    return kind(said, code=str(problem.get("code", "")), **fields)


def _kind(status: int, code: str) -> type[RunplaneError]:
    if code == BrokerRefused.code:
        return BrokerRefused
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return CallerError if status < HTTPStatus.INTERNAL_SERVER_ERROR else SystemFault


def _problem(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
