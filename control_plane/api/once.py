"""Idempotent answers: the same key and the same request get the same answer, at the same time or a day later.

Three things hold together: requests under one key wait for one another here; the answer is kept in memory at once and
on disk as soon as it has gone out; and where the process died before that, the ids derived from the key find the
command in the log.
"""

import asyncio
import hashlib
import json
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from control_plane.command_side.repetition import key_reused
from control_plane.read_model import IdempotencyStore, Remembered

log = logging.getLogger("control_plane.api")

MAX_RECENT = 1_000
REPLAYED = "Idempotency-Replayed"
_KEPT_HEADERS = ("location",)


class Once:
    """Gives each keyed request its one answer."""

    def __init__(self, store: IdempotencyStore) -> None:
        """Keep answers in ``store``."""
        self._store = store
        self._recent: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._under_way: dict[tuple[str, str], _Turn] = {}

    async def answer(
        self, request: Request, principal: str, key: str | None, make: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The stored answer, or what ``make`` answers. Only a success is stored: what was refused may be mended."""
        if key is None:
            return await make()
        digest = await _digest(request)
        place = (principal, key)
        turn = self._under_way.setdefault(place, _Turn())
        turn.takers += 1
        try:
            async with turn.lock:
                return await self._in_turn(principal, key, digest, make)
        finally:
            turn.takers -= 1
            if turn.takers == 0:
                del self._under_way[place]

    async def _in_turn(
        self, principal: str, key: str, digest: str, make: Callable[[], Awaitable[Response]]
    ) -> Response:
        place = (principal, key)
        known = self._recent.get(place) or self._store.get(principal, key)
        if known is not None:
            if known.digest != digest:
                raise key_reused(key)
            return _stored(known)
        response = await make()
        if response.status_code < 300:  # noqa: PLR2004
            kept = _remember(digest, response)
            self._recent[place] = kept
            while len(self._recent) > MAX_RECENT:
                self._recent.popitem(last=False)
            response.background = BackgroundTask(self._keep, principal, key, kept)
        return response

    async def _keep(self, principal: str, key: str, kept: Remembered) -> None:
        try:
            self._store.put(principal, key, kept)
        except sqlite3.Error as error:
            log.warning("an answer under an idempotency key is kept in memory only: %s", error)


@dataclass(slots=True)
class _Turn:
    """Requests under one key, one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    takers: int = 0


async def _digest(request: Request) -> str:
    """What was asked: method, path and body. How long the caller waits is no part of it."""
    body = await request.body()
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(
        b"\x1f".join((request.method.encode(), request.url.path.encode(), body))
    ).hexdigest()


def _remember(digest: str, response: Response) -> Remembered:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Remembered(
        digest=digest,
        status=response.status_code,
        response=json.dumps(headers).encode() + b"\n" + bytes(response.body),
    )


def _stored(known: Remembered) -> Response:
    headers, _, body = known.response.partition(b"\n")
    return Response(
        body or None,
        status_code=known.status,
        media_type="application/json" if body else None,
        headers={**json.loads(headers), REPLAYED: "true"},
    )
