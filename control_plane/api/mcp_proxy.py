"""``/mcp``: hands requests on to the MCP server, a process of its own behind a Unix socket.

That process is started at the first request, dies with this one, and is started again when it has died. It speaks to
our HTTP API like everyone else, with the caller's own token, so that the log names the one who asked.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from control_plane.api.problems import on_runplane_error
from control_plane.settings import Settings
from runplane.contract.errors import RunplaneError, Unavailable

log = logging.getLogger("control_plane.mcp")

PATH = "/mcp"
METHODS = ("GET", "POST", "DELETE")
START_SECONDS = 30.0
STOP_SECONDS = 3.0
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 900.0
"""A call may wait long for a run; a stream that says nothing for longer is ended, and its client comes again."""
_RETRY_SECONDS = 0.05
_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=0)
"""A connection for each request costs little here, and shows before anything was sent that nobody is there."""
_REQUEST_HEADERS = frozenset(
    {"accept", "authorization", "x-api-key", "content-type", "last-event-id", "user-agent"}
)
_RESPONSE_HEADERS = frozenset({"content-type", "cache-control", "allow", "www-authenticate", "retry-after"})
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "HOME",
    "VIRTUAL_ENV",
    "RUNPLANE_LOG_LEVEL",
)


class McpProxy:
    """The route ``/mcp``, and the process behind it. An ASGI application."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started before the first request."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request says nothing new
        self._settings = settings
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._directory: Path | None = None
        self._http: httpx.AsyncClient | None = None
        self.route = Route(PATH, self, methods=list(METHODS), include_in_schema=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        request = Request(scope, receive)
        try:
            response = await self._forward(request)
        except RunplaneError as error:
            response = await on_runplane_error(request, error)
        await response(scope, receive, send)

    async def close(self) -> None:
        """End the process."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def _forward(self, request: Request) -> Response:
        body = await request.body()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in _REQUEST_HEADERS or name.startswith("mcp-")
        }
        for last_try in (False, True):
            http = await self._running(_address_of(request))
            upstream = http.build_request(
                request.method, PATH, params=request.query_params, headers=headers, content=body
            )
            try:
                answer = await http.send(upstream, stream=True)
            except httpx.ConnectError:
                if last_try:
                    raise Unavailable("the MCP server does not answer: try again") from None
                await self.close()
            except httpx.HTTPError as error:
                raise Unavailable(
                    f"the MCP server did not answer ({type(error).__name__}): try again"
                ) from None
            else:
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name in _RESPONSE_HEADERS or name.startswith("mcp-")
                }
                return StreamingResponse(
                    _bytes_of(answer),
                    status_code=answer.status_code,
                    headers=kept,
                    background=BackgroundTask(answer.aclose),
                )
        raise Unavailable("the MCP server does not answer: try again")

    async def _running(self, url: str) -> httpx.AsyncClient:
        """The way to the process, which is started where it is not there."""
        async with self._starting:
            if self._http is not None and self._process is not None and self._process.returncode is None:
                return self._http
            await self.close()
            self._directory = Path(tempfile.mkdtemp(prefix="runplane-mcp-"))
            socket = self._directory / "mcp.sock"
            self._process = await self._start(socket, url)
            await self._until_listening(self._process, socket)
            self._http = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=_LIMITS),
                base_url="http://localhost",
                timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            )
            return self._http

    async def _start(self, socket: Path, url: str) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"RUNPLANE_URL": url, "RUNPLANE_HOME": str(self._settings.home)}
        command = [sys.executable, "-m", "mcp_server.main", "--listen-unix", str(socket)]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runplane.cli.attached", str(os.getpid()), *command),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def _until_listening(self, process: asyncio.subprocess.Process, socket: Path) -> None:
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await _listens(socket):
                    await asyncio.wait({ended}, timeout=_RETRY_SECONDS)
                    if ended.done():
                        raise Unavailable(
                            f"the MCP server ended at once (status {process.returncode}): "
                            f"the log of the control plane tells why"
                        )
        except TimeoutError:
            raise Unavailable(f"the MCP server did not start within {START_SECONDS:g} s: try again") from None
        finally:
            ended.cancel()


async def _listens(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


async def _bytes_of(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        log.info("the MCP server broke off a stream: %s", type(error).__name__)


def _address_of(request: Request) -> str:
    """Where the MCP server reaches us: the address on which this request came."""
    host, port = request.scope["server"]
    wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — what is not listened on, but reached
    address = wildcard.get(host, host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
