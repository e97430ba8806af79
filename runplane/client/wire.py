"""One request: sent, repeated where that is safe, and answered by a value or by an error of the contract.

- Every mutation carries an ``Idempotency-Key``, so that sending it again after a broken connection has one effect.
- What is repeated: a refused or broken connection, and 502, 503, 504. Not an answer that did not come in time: there
  the caller's own limit is over.
- For how long: ``PATIENCE`` where the control plane is known to come back (it answered before, somebody supervises it,
  or the request may have reached it), ``FIRST_PATIENCE`` where nothing was ever heard of it.
- A read after a mutation asks for the log position of that mutation (``min_seq``), so it shows one's own effect.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from runplane.client.place import Place
from runplane.client.problem import error_of
from runplane.contract.errors import InvalidInput, RunplaneError, Unavailable

BASE = "/api/v1"
PATIENCE = 10.0
FIRST_PATIENCE = 1.5
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
CONNECT_WITHIN = 5.0
MAX_CONNECTIONS = 32
WAIT_LIMIT = 60.0
"""The longest ``wait`` the API takes, in seconds."""

SEQ_HEADER = "Runplane-Seq"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MUTATIONS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Wire:
    """The connection to one control plane. ``seq`` is the log position of the last mutation that was answered,
    ``position`` the one that the last answer reflects.
    """

    def __init__(
        self, place: Place, *, timeout: float, surface: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Nothing is sent before the first request."""
        self.url = place.url
        self.seq = 0
        self.position = 0
        self._timeout = timeout
        self._is_known = place.is_supervised
        headers = {"Runplane-Surface": surface, "Accept": "application/json"}
        if place.token:
            headers["Authorization"] = f"Bearer {place.token}"
        self._http = httpx.AsyncClient(
            base_url=place.url,
            headers=headers,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=8),
            transport=transport,
            verify=not place.url.startswith("http://"),  # making a TLS context takes a tenth of a second
            trust_env=_host_of(place.url) not in _LOOPBACK,  # loopback is never behind a proxy
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        key: str | None = None,
        wait: float | None = None,
        timeout: float | None = None,
        accept: tuple[int, ...] = (),
    ) -> Any:
        """Send and return the JSON of the answer; of a status in ``accept`` as well, and raise for others.

        ``wait`` seconds are given to the control plane to hold the answer, at most 60; ``timeout`` (default the
        client's) comes on top.
        """
        limit = (timeout or self._timeout) + (wait or 0.0)
        request = self._http.build_request(
            method,
            path,
            params=self._query(query, wait=wait, is_read=method not in _MUTATIONS and path.startswith(BASE)),
            json=body,
            headers={"Idempotency-Key": key or uuid.uuid4().hex} if method in _MUTATIONS else {},
            timeout=httpx.Timeout(limit, connect=min(limit, CONNECT_WITHIN)),
        )
        response = await self._send(request, accept)
        self.position = _seq_of(response)
        if method in _MUTATIONS:
            self.seq = max(self.seq, self.position)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise Unavailable(f"{self.url} does not speak Runplane's API: is RUNPLANE_URL right?") from None

    def stream(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], silence: float) -> Any:
        """Open a stream as an async context manager; no byte for ``silence`` seconds breaks it."""
        limits = httpx.Timeout(silence, connect=CONNECT_WITHIN, pool=CONNECT_WITHIN)
        return self._http.stream(
            "GET", path, params=self._query(query, wait=None, is_read=True), headers=headers, timeout=limits
        )

    def unreachable(self, error: Exception) -> Unavailable:
        """What a person is told when nobody answers."""
        if isinstance(error, httpx.TimeoutException):
            return Unavailable(f"the control plane at {self.url} did not answer in time: try again")
        return Unavailable(
            f"the control plane at {self.url} cannot be reached ({_why(error)}): start it with `runplane up`"
        )

    async def _send(self, request: httpx.Request, accept: tuple[int, ...]) -> httpx.Response:
        began, delay = time.monotonic(), FIRST_DELAY
        while True:
            outcome, is_known = await self._try(request, accept)
            self._is_known = self._is_known or is_known
            if isinstance(outcome, httpx.Response):
                return outcome
            patience = PATIENCE if self._is_known else FIRST_PATIENCE
            if time.monotonic() + delay > began + patience:
                raise outcome
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _try(
        self, request: httpx.Request, accept: tuple[int, ...]
    ) -> tuple[httpx.Response | RunplaneError, bool]:
        """The answer, or the error that may pass, and whether something is there that may have taken the request."""
        try:
            response = await self._http.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return self.unreachable(error), False
        except httpx.TimeoutException as error:
            raise self.unreachable(error) from None
        except httpx.TransportError as error:
            return self.unreachable(error), True
        if response.is_success or response.status_code in accept:
            return response, True
        failure = error_of(response, response.content)
        if isinstance(failure, Unavailable):
            return failure, True
        raise failure

    def _query(self, given: Mapping[str, Any] | None, *, wait: float | None, is_read: bool) -> dict[str, Any]:
        query = {name: _text(value) for name, value in (given or {}).items() if value not in (None, (), "")}
        if wait:
            query["wait"] = f"{min(wait, WAIT_LIMIT):g}"
        if is_read and self.seq:
            query["min_seq"] = str(self.seq)
        return query


def _host_of(url: str) -> str:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise InvalidInput(
            f"RUNPLANE_URL is {url!r}, which is no address: write it like http://127.0.0.1:28881", field="url"
        )
    return address.host


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return [_text(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _seq_of(response: httpx.Response) -> int:
    text = response.headers.get(SEQ_HEADER, "")
    return int(text) if text.isdigit() else 0


def _why(error: Exception) -> str:
    """The kernel's word for it, without the library's wrapping."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
