"""What no route answers: under the API's own paths always a problem, 404 or 405, whatever is mounted beside.

The last route of the API takes every path of its own, so that a page mounted at the root never answers for it.
"""

import re
from collections.abc import Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

OWN_PATHS = ("/api/{rest:path}", "/livez", "/readyz", "/healthz", "/metrics", "/docs", "/openapi.json")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")


class Methods:
    """Which methods each documented path takes."""

    def __init__(self, paths: dict[str, dict[str, Any]], pages: Iterable[str]) -> None:
        """``paths`` of the OpenAPI document, and the pages beside them, which are only read."""
        known = {path: frozenset(method.upper() for method in methods) for path, methods in paths.items()}
        known |= dict.fromkeys(pages, frozenset({"GET"}))
        self._patterns = [(_pattern(path), methods) for path, methods in known.items()]

    def of(self, path: str) -> frozenset[str]:
        """The methods that some route takes at this path; empty where there is none."""
        found: frozenset[str] = frozenset()
        for pattern, methods in self._patterns:
            if pattern.fullmatch(path):
                found |= methods
        return found


def routes(methods: Methods) -> list[Route]:
    """The last routes of the application."""

    async def unmatched(request: Request) -> Response:
        allowed = methods.of(request.scope["path"])
        if not allowed:
            raise HTTPException(404)
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})

    return [Route(path, _any_method(unmatched), include_in_schema=False) for path in OWN_PATHS]


def _any_method(endpoint: Any) -> Any:
    """An ASGI endpoint: a route of one takes every method, also those without a name."""

    class Endpoint:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

    return Endpoint()


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", path)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))
