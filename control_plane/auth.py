"""The one gate: every request and every websocket passes here first, and is refused unless something lets it in.

- Host and Origin are checked on everything, so that no page of another site reaches a plane on loopback, by
  whatever name it resolves to.
- ``/livez`` and ``/readyz`` answer without a token, and say nothing more than yes or no. All else needs one:
  ``Authorization: Bearer``, ``X-API-Key``, or the session cookie of a browser that showed a token before.
- A token in a query is taken on a page only (never by the API), once: it becomes a cookie and leaves the address.
- A cookie is not enough for what changes something: the request must also say that it came from our own pages.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.login import login_page
from control_plane.tokens import SESSION_SECONDS, Tokens
from runplane.contract.run import Actor, Surface

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
WITHOUT_TOKEN = frozenset({"/livez", "/readyz"})
LOGIN_PATH = "/login"
COOKIE = "runplane_session"
SURFACES = tuple(surface for surface in get_args(Surface) if surface != "policy")
_FOR_PROGRAMS = ("/api/", "/mcp", "/metrics", "/openapi.json", "/healthz")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_FORM_BYTES = 4096
_CHALLENGE = (b"www-authenticate", b'Bearer realm="runplane"')


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody is let in: HTTP status, stable code, and what to do."""

    status: int
    code: str
    detail: str


class Authentication:
    """Pure ASGI. Whoever is let in is ``scope["state"]["actor"]``."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, allowed_hosts: Iterable[str] = ()) -> None:
        """``allowed_hosts``: further names this plane is reached by, ``name`` (any port) or ``name:port``."""
        self._app = app
        self._tokens = tokens
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _Headers(scope)
        refusal = self._check_place(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, refusal)
            return
        path = scope["path"]
        if scope["type"] == "http" and path in WITHOUT_TOKEN:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http" and path == LOGIN_PATH:
            await self._login(scope, receive, send)
            return
        if _shows_token_on_a_page(scope, headers):
            await self._first_visit(scope, send)
            return
        await self._with_actor(scope, receive, send, headers)

    async def _with_actor(self, scope: Scope, receive: Receive, send: Send, headers: "_Headers") -> None:
        surface = headers.one(b"runplane-surface") or "api"
        if surface not in SURFACES:
            refusal = Refusal(
                400,
                "invalid_surface",
                f"Runplane-Surface is {surface[:40]!r}: use one of {', '.join(SURFACES)}",
            )
            await _refuse(scope, send, refusal)
            return
        principal = self._principal(scope, headers)
        if isinstance(principal, Refusal):
            if principal.status == 401 and _wants_page(scope, headers):  # noqa: PLR2004
                await _page(send, login_page(_address(scope)), status=401)
                return
            await _refuse(scope, send, principal)
            return
        scope.setdefault("state", {})["actor"] = Actor.model_validate(
            {"principal": principal, "surface": surface}
        )
        await self._app(scope, receive, send)

    def _check_place(self, scope: Scope, headers: "_Headers") -> Refusal | None:
        hosts = headers.all(b"host")
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope):
            shown = ", ".join(hosts)[:80]
            return Refusal(
                403,
                "host_not_allowed",
                f"Host {shown!r} is not one this control plane answers to: use its address from endpoint.json, or "
                f"allow the name with RUNPLANE_ALLOWED_HOSTS",
            )
        for origin in headers.all(b"origin"):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.path or not self._is_ours(parts.netloc, scope):
                return Refusal(
                    403,
                    "origin_not_allowed",
                    f"Origin {origin[:80]!r} is not this control plane's own: open its pages",
                )
        return None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        host = host.lower()
        name, port = _split_host(host)
        if host in self._allowed_hosts or name in self._allowed_hosts:
            return True
        server = scope.get("server")
        own_port = server[1] if server is not None else None
        default = 443 if scope.get("scheme") in ("https", "wss") else 80
        own_address = _bracketed(server[0]) if server is not None else None
        return (name in LOOPBACK_NAMES or name == own_address) and own_port in (None, port or default)

    def _principal(self, scope: Scope, headers: "_Headers") -> str | Refusal:
        bearers = headers.all(b"authorization")
        keys = headers.all(b"x-api-key")
        if bearers or keys:
            scheme, _, credentials = bearers[0].partition(" ") if bearers else ("bearer", "", keys[0])
            if len(bearers) > 1 or len(keys) > 1 or scheme.lower() != "bearer":
                return Refusal(
                    401, "not_authenticated", "give one token: Authorization: Bearer TOKEN, or X-API-Key"
                )
            principal = self._tokens.principal(credentials.strip())
            return principal or Refusal(
                401,
                "not_authenticated",
                "nobody has this token: see RUNPLANE_TOKEN, or the file token in RUNPLANE_HOME",
            )
        session = headers.cookie(_cookie_name(scope))
        principal = self._tokens.session_principal(session) if session is not None else None
        if principal is None:
            return Refusal(
                401,
                "not_authenticated",
                "no token was given: send Authorization: Bearer TOKEN, with the token from RUNPLANE_HOME/token",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and not headers.all(b"origin"):
            return Refusal(
                403, "origin_missing", "a session is only good on this control plane's own pages: use a token"
            )
        return principal

    async def _first_visit(self, scope: Scope, send: Send) -> None:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = next(value for name, value in pairs if name == "token")
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        address = quote(scope["path"]) + (f"?{rest}" if rest else "")
        await self._admit(scope, send, token, address)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _page(send, login_page("/"), status=200)
            return
        body = await _small_body(receive)
        if body is None:
            await _refuse(scope, send, Refusal(413, "body_too_large", "a token is shorter than that"))
            return
        form = parse_qs(body.decode("utf-8", errors="replace"))
        await self._admit(scope, send, form.get("token", [""])[0].strip(), form.get("next", ["/"])[0])

    async def _admit(self, scope: Scope, send: Send, token: str, address: str) -> None:
        """Turn a token into a session cookie and send the browser on; back to the login page where it is not good."""
        principal = self._tokens.principal(token)
        address = _own_address(address)
        if principal is None:
            await _page(send, login_page(address, wrong=True), status=401)
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = (
            f"{_cookie_name(scope)}={self._tokens.session_for(principal)}; Path=/; HttpOnly; SameSite=Strict; "
            f"Max-Age={SESSION_SECONDS}{secure}"
        )
        headers = [
            (b"location", address.encode("latin-1", "replace")),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class _Headers:
    """The headers of a scope, by lower-case name."""

    def __init__(self, scope: Scope) -> None:
        self._pairs: list[tuple[bytes, bytes]] = list(scope["headers"])

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for key, value in self._pairs if key.lower() == name]

    def one(self, name: bytes) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def cookie(self, name: str) -> str | None:
        for header in self.all(b"cookie"):
            for pair in header.split(";"):
                key, _, value = pair.strip().partition("=")
                if key == name:
                    return value
        return None


def _split_host(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    if colon and not port.startswith("]") and "]" not in port:
        return name, int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1  # noqa: PLR2004
    return host, None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _cookie_name(scope: Scope) -> str:
    """Cookies of one address are shared by all its ports: the name keeps two planes apart."""
    server = scope.get("server")
    return f"{COOKIE}_{server[1]}" if server is not None and server[1] else COOKIE


def _is_for_programs(path: str) -> bool:
    return path.startswith(_FOR_PROGRAMS)


def _shows_token_on_a_page(scope: Scope, headers: _Headers) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or _is_for_programs(scope["path"]):
        return False
    if headers.all(b"authorization") or b"token=" not in scope["query_string"]:
        return False
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    return "token" in names


def _wants_page(scope: Scope, headers: _Headers) -> bool:
    if (
        scope["type"] != "http"
        or scope["method"] not in _SAFE_METHODS
        or scope["path"].startswith(("/api/", "/mcp"))
    ):
        return False
    return "text/html" in (headers.one(b"accept") or "")


def _address(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def _own_address(address: str) -> str:
    """An address on this plane, or the first page: never anywhere else."""
    parts = urlsplit(address)
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if inside and address.isprintable() else "/"


async def _small_body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            return None
        if not message.get("more_body"):
            return body


async def _page(send: Send, page: str, *, status: int) -> None:
    body = page.encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
    ]
    if status == 401:  # noqa: PLR2004
        headers.append(_CHALLENGE)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    body = json.dumps(problem_of(scope, refusal)).encode()
    start: Message = {
        "type": "http.response.start",
        "status": refusal.status,
        "headers": [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *([_CHALLENGE] if refusal.status == 401 else []),  # noqa: PLR2004
        ],
    }
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
            return
        start["type"] = "websocket.http.response.start"
        await send(start)
        await send({"type": "websocket.http.response.body", "body": body})
        return
    await send(start)
    await send({"type": "http.response.body", "body": body})


def problem_of(scope: Scope, refusal: Refusal) -> dict[str, Any]:
    """The refusal as a problem document (RFC 9457)."""
    titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 413: "Content Too Large"}
    return {
        "type": f"urn:runplane:problem:{refusal.code}",
        "title": titles[refusal.status],
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": scope.get("state", {}).get("request_id"),
    }
