"""Streamable HTTP, on a Unix socket behind the control plane or on a loopback address. Both at the path ``/mcp``.

Every request must carry the caller's own token, and every request stands alone: no session is kept, so a restart of
this process loses nothing, and no session can be used with another's token.
"""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings

from mcp_server.access import token_of
from runplane.contract.errors import NotAuthenticated

PATH = "/mcp"
STOP_WITHIN = 3
LONGEST_SOCKET_PATH = 107

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Server(uvicorn.Server):
    """Ends without raising the signal once more, so that the socket is removed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the event loop's."""
        yield


class CannotListen(Exception):
    """The address cannot be served; the message says why and what to do."""


async def serve_unix(server: Server[Any], path: Path) -> None:
    """Serve on a Unix socket that its owner alone may use. Host and Origin are checked by the control plane before."""
    with _unix_socket(path) as listening:
        await _serve(server, listening, TransportSecuritySettings(enable_dns_rebinding_protection=False))


async def serve_loopback(server: Server[Any], host: str, port: int) -> None:
    """Serve on a loopback address, for requests whose Host and Origin name loopback too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; asyncio leaves it out where a socket does not name its protocol.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise CannotListen(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another port"
            ) from None
        names = ("127.0.0.1", "localhost", "[::1]")
        await _serve(
            server,
            listening,
            TransportSecuritySettings(
                allowed_hosts=[*names, *(f"{name}:*" for name in names)],
                allowed_origins=[f"http://{name}{port}" for name in names for port in ("", ":*")],
            ),
        )


def loopback_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` where HOST is loopback; ValueError says why not."""
    host, _, port = text.rpartition(":")
    name = host.strip("[]")
    address = "127.0.0.1" if name == "localhost" else name
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the last port
        raise ValueError(
            f"{text!r} is no loopback address and port: write it like 127.0.0.1:28882. For other machines, use /mcp of "
            "the control plane, which checks who asks"
        )
    return address, int(port)


async def _serve(server: Server[Any], listening: socket.socket, security: TransportSecuritySettings) -> None:
    application = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, transport_security=security
    )
    config = uvicorn.Config(
        _authenticated(application),
        log_level="warning",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_WITHIN,
        ws="none",
    )
    running = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.handle_exit, number, None)
    await running.serve(sockets=[listening])


def _authenticated(application: Application) -> Application:
    """Nothing without a token. Whether it is a good one the control plane says, at the first call that needs it."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
            }
            try:
                token_of(headers)
            except NotAuthenticated as error:
                await _unauthorized(send, error.message)
                return
        await application(scope, receive, send)

    return checked


async def _unauthorized(send: Send, message: str) -> None:
    body = (
        '{"type":"about:blank","title":"Not authenticated","status":401,"code":"not_authenticated","detail":"'
        + message.replace('"', "'")
        + '"}'
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """A listening socket at ``path``, with mode 0600 from its first moment; removed afterwards."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise CannotListen(
            f"{path} is longer than {LONGEST_SOCKET_PATH} bytes: choose a shorter path for the socket"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        _remove_left_over(path)
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        except OSError as error:
            raise CannotListen(f"cannot listen on {path}: {error.strerror}") from None
        finally:
            os.umask(before)
        mine = path.stat().st_ino
        try:
            yield listening
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == mine:
                    path.unlink()


def _remove_left_over(path: Path) -> None:
    """Remove the socket of a server that is gone; leave one that answers, and whatever is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotListen(f"{path} exists and is no socket: choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise CannotListen(f"{path} cannot be looked at: {error.strerror}") from None
    raise CannotListen(f"another MCP server already listens on {path}: stop it first")
