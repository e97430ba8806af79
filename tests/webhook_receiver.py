"""A real receiver of webhooks: answers as it is told to, and keeps what came."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT = 20.0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """``hangs`` answers nothing until the receiver is closed or ``release`` is called."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False


class Receiver:
    """``replies`` by path: what is answered to the first, the second … request; the last one stays."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: dict[str, list[Reply]] = {}
        self._changed = threading.Condition()
        self._released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def of(self, path: str) -> list[Received]:
        with self._changed:
            return [one for one in self.received if one.path == path]

    def until(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Wait until what came satisfies the condition."""
        with self._changed:
            assert self._changed.wait_for(condition, limit), (
                f"not within {limit:g} s: {what}: {self.received}"
            )

    def release(self) -> None:
        """Let the requests that hang go."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LIMIT)

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._changed:
            before = sum(one.path == request.path for one in self.received)
            self.received.append(Received(path=request.path, headers=headers, body=body))
            replies = self.replies.get(request.path) or [Reply()]
            reply = replies[min(before, len(replies) - 1)]
            self._changed.notify_all()
        if reply.hangs:
            self._released.wait(LIMIT)
        try:
            request.send_response(reply.status)
            for name, value in reply.headers.items():
                request.send_header(name, value)
            request.send_header("content-length", str(len(reply.body)))
            request.end_headers()
            request.wfile.write(reply.body)
        except OSError:
            pass  # whoever asked has gone
