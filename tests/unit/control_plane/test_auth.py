import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from control_plane.auth import Authentication
from control_plane.tokens import FIRST_PRINCIPAL, Tokens
from runplane.contract.run import Actor

pytestmark = pytest.mark.anyio

TOKEN = "correct-horse-battery-staple-0123456789"
PORT = 28881
HERE = ("host", f"127.0.0.1:{PORT}")
WITH_TOKEN = ("authorization", f"Bearer {TOKEN}")
Header = tuple[str, str]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    actor: Actor | None = None
    closed: bool = False

    @property
    def code(self) -> Any:
        return json.loads(self.body)["code"]


async def ask(
    *headers: Header,
    method: str = "GET",
    path: str = "/api/v1/runs",
    query: str = "",
    body: bytes = b"",
    kind: str = "http",
    tokens: Tokens | None = None,
    allowed_hosts: Iterable[str] = (),
    denial: bool = True,
    server: tuple[str, int] = ("127.0.0.1", PORT),
) -> Answer:
    """Pass one request through the gate; 200 where it was let in."""
    answer = Answer()

    async def inside(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        answer.actor = scope.get("state", {}).get("actor")
        answer.status = 200

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            case "http.response.body" | "websocket.http.response.body":
                answer.body += message["body"]
            case "websocket.close":
                answer.closed = True

    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "scheme": "http" if kind == "http" else "ws",
        "server": server,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "extensions": {"websocket.http.response": {}} if denial else {},
        **({"method": method} if kind == "http" else {}),
    }
    gate = Authentication(
        inside, tokens=tokens or Tokens({TOKEN: FIRST_PRINCIPAL}), allowed_hosts=allowed_hosts
    )
    await gate(scope, receive, send)
    return answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:28881", 200),
        ("localhost:28881", 200),
        ("LocalHost:28881", 200),
        ("[::1]:28881", 200),
        ("127.0.0.1", 403),
        ("127.0.0.1:28882", 403),
        ("localhost:", 403),
        ("localhost:28881x", 403),
        ("localhost.evil.example:28881", 403),
        ("evil.example:28881", 403),
        ("evil.example", 403),
        ("10.0.0.7:28881", 403),
        ("127.0.0.1:28881@evil.example", 403),
        ("", 403),
        ("plane.example:443", 200),
        ("plane.example", 200),
        ("other.example:8443", 200),
        ("other.example", 403),
        ("other.example:443", 403),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("path", ["/api/v1/runs", "/livez", "/"])
async def test_only_our_own_names_are_answered_to(host: str, status: int, kind: str, path: str) -> None:
    allowed = ["plane.example", "other.example:8443"]
    answer = await ask(("host", host), WITH_TOKEN, path=path, kind=kind, allowed_hosts=allowed)
    assert answer.status == status
    assert answer.status == 200 or answer.code == "host_not_allowed"


async def test_a_request_names_one_host() -> None:
    assert (await ask(WITH_TOKEN)).code == "host_not_allowed"
    assert (await ask(HERE, ("host", "evil.example"), WITH_TOKEN)).code == "host_not_allowed"


async def test_the_address_that_is_listened_on_is_a_name_of_ours() -> None:
    there = ("10.0.0.7", PORT)
    assert (await ask(("host", f"10.0.0.7:{PORT}"), WITH_TOKEN, server=there)).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"http://127.0.0.1:{PORT}", 200),
        (f"http://localhost:{PORT}", 200),
        ("http://127.0.0.1:3000", 403),
        ("http://evil.example", 403),
        (f"http://evil.example:{PORT}", 403),
        ("null", 403),
        ("", 403),
        (f"file://127.0.0.1:{PORT}", 403),
        (f"http://127.0.0.1:{PORT}/x", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "websocket"])
async def test_only_our_own_pages_may_ask(origin: str, status: int, method: str) -> None:
    kind = "websocket" if method == "websocket" else "http"
    for path in ("/api/v1/runs", "/api/v1/stream", "/livez"):
        answer = await ask(HERE, WITH_TOKEN, ("origin", origin), method=method, path=path, kind=kind)
        assert answer.status == status, path


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer ")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", TOKEN)],
        [("authorization", f"Bearer {TOKEN[:-1]}")],
        [("authorization", "Bearer \u00e9")],
        [("authorization", "Bearer " + "x" * 10_000)],
        [WITH_TOKEN, ("authorization", "Bearer wrong")],
        [("x-api-key", "wrong")],
        [("x-api-key", TOKEN), ("x-api-key", "wrong")],
        [("authorization", "Bearer wrong"), ("x-api-key", TOKEN)],
        [("cookie", f"runplane_session_{PORT}={TOKEN}")],
        [("cookie", f"runplane_session_{PORT}=99999999999.00")],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_nobody_is_let_in_without_a_good_token(headers: list[Header], kind: str) -> None:
    for path in (
        "/api/v1/runs",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/mcp",
        "/healthz",
        "/",
        "/_nicegui/x",
    ):
        answer = await ask(HERE, *headers, path=path, kind=kind)
        assert (answer.status, answer.code) == (401, "not_authenticated")
        assert "www-authenticate" in answer.headers
        assert answer.actor is None


@pytest.mark.parametrize("header", [WITH_TOKEN, ("authorization", f"bearer  {TOKEN}"), ("x-api-key", TOKEN)])
async def test_a_good_token_names_its_principal(header: Header) -> None:
    answer = await ask(HERE, header)
    assert answer.actor == Actor(principal="operator", surface="api")


async def test_the_surface_is_one_of_four() -> None:
    for surface in ("cli", "mcp", "api", "dashboard"):
        answer = await ask(HERE, WITH_TOKEN, ("runplane-surface", surface))
        assert answer.actor == Actor.model_validate({"principal": "operator", "surface": surface})
    for surface in ("policy", "root", "CLI"):
        assert (await ask(HERE, WITH_TOKEN, ("runplane-surface", surface))).code == "invalid_surface"


async def test_liveness_needs_no_token_and_names_nobody() -> None:
    for path in ("/livez", "/readyz"):
        answer = await ask(HERE, path=path)
        assert (answer.status, answer.actor) == (200, None)
    assert (await ask(HERE, path="/livez/more")).status == 401
    assert (await ask(HERE, path="/livez", kind="websocket")).status == 401


async def test_a_websocket_is_closed_where_the_server_cannot_answer_it() -> None:
    answer = await ask(HERE, kind="websocket", denial=False)
    assert (answer.closed, answer.status) == (True, 0)


async def session(tokens: Tokens) -> str:
    answer = await ask(HERE, path="/", query=f"token={TOKEN}", tokens=tokens)
    return answer.headers["set-cookie"].partition(";")[0]


async def test_a_token_in_the_address_of_a_page_becomes_a_cookie() -> None:
    query = urlencode({"a": "b c", "token": TOKEN})
    answer = await ask(HERE, path="/runs/run_0dcbc991c0d4", query=query)
    assert (answer.status, answer.headers["location"]) == (303, "/runs/run_0dcbc991c0d4?a=b+c")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in str(answer.headers)
    answer = await ask(HERE, path="/", query="token=wrong")
    assert (answer.status, "set-cookie" in answer.headers) == (401, False)
    for path in ("/api/v1/runs", "/metrics", "/mcp"):
        assert (await ask(HERE, path=path, query=f"token={TOKEN}")).status == 401
    assert (await ask(HERE, path="/", query=f"token={TOKEN}", method="POST")).status == 401


async def test_a_session_is_good_on_our_own_pages_alone() -> None:
    tokens = Tokens({TOKEN: FIRST_PRINCIPAL})
    cookie = ("cookie", f"x=y; {await session(tokens)}")
    origin = ("origin", f"http://127.0.0.1:{PORT}")
    assert (await ask(HERE, cookie, tokens=tokens)).actor == Actor(principal="operator")
    assert (await ask(HERE, cookie, method="POST", tokens=tokens)).code == "origin_missing"
    assert (await ask(HERE, cookie, origin, method="POST", tokens=tokens)).status == 200
    assert (await ask(HERE, cookie, kind="websocket", tokens=tokens)).code == "origin_missing"
    assert (await ask(HERE, cookie, origin, kind="websocket", tokens=tokens)).status == 200
    evil = ("origin", "http://evil.example")
    assert (await ask(HERE, cookie, evil, kind="websocket", tokens=tokens)).code == "origin_not_allowed"


async def test_a_session_ends_and_cannot_be_made_up() -> None:
    time = 1_000_000.0
    tokens = Tokens({TOKEN: FIRST_PRINCIPAL}, clock=lambda: time)
    name, _, value = (await session(tokens)).partition("=")
    assert tokens.session_principal(value) == "operator"
    expiry, _, mac = value.partition(".")
    for forged in (
        f"{int(expiry) + 1}.{mac}",
        f"{expiry}.{mac[:-1]}",
        f"{expiry}.",
        "",
        ".",
        f"-1.{mac}",
        "\u0661.x",
    ):
        assert tokens.session_principal(forged) is None
    assert Tokens({"another token": FIRST_PRINCIPAL}, clock=lambda: time).session_principal(value) is None
    time += 8 * 86_400
    assert tokens.session_principal(value) is None
    assert name == f"runplane_session_{PORT}"


@pytest.mark.parametrize(
    ("address", "sent_to"),
    [
        ("/runs/x?y=z", "/runs/x?y=z"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("", "/"),
    ],
)
async def test_the_login_page_sends_nobody_elsewhere(address: str, sent_to: str) -> None:
    body = urlencode({"token": TOKEN, "next": address}).encode()
    answer = await ask(HERE, method="POST", path="/login", body=body)
    assert (answer.status, answer.headers["location"]) == (303, sent_to)


async def test_a_browser_without_a_token_is_asked_for_one() -> None:
    html = ("accept", "text/html,application/xhtml+xml")
    answer = await ask(HERE, html, path="/runs/x", query='a="><script>')
    assert answer.status == 401
    assert b"<form" in answer.body
    assert b"<script>" not in answer.body
    assert (await ask(HERE, html)).code == "not_authenticated"
    assert (await ask(HERE, html, path="/", method="POST")).code == "not_authenticated"
    wrong = await ask(HERE, method="POST", path="/login", body=b"token=wrong")
    assert (wrong.status, b"Nobody has this token" in wrong.body) == (401, True)
    large = await ask(HERE, method="POST", path="/login", body=b"token=" + b"x" * 10_000)
    assert large.code == "body_too_large"
