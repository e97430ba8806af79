"""Every call of the API, version 1, typed. Methods are named after what they ask for; durations are seconds.

``wait`` holds the answer until the effect is visible, at most 60 seconds. Errors: those of ``contract/errors`` by the
answer's status, with its ``code`` and further fields; :class:`Unavailable` where nobody answers.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from runplane.client.holding import HoldingCalls
from runplane.client.place import Place, find_plane
from runplane.client.runs import RunCalls, RunViews
from runplane.client.system import AccessCalls, LogCalls, NotificationCalls, RegistryCalls
from runplane.client.wire import Wire
from runplane.contract.run import Surface

TIMEOUT = 30.0


class Client(RunCalls, HoldingCalls, RunViews, LogCalls, RegistryCalls, NotificationCalls, AccessCalls):
    """A client of one control plane; an async context manager that closes its connections."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = TIMEOUT,
        surface: Surface = "api",
        is_supervised: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``surface`` is what the log will name beside the principal of ``token``."""
        place = Place(url=url.rstrip("/"), token=token, is_supervised=is_supervised)
        super().__init__(Wire(place, timeout=timeout, surface=surface, transport=transport))

    @classmethod
    def from_environment(
        cls, home: str | Path | None = None, *, timeout: float = TIMEOUT, surface: Surface = "api"
    ) -> Self:
        """The control plane of ``RUNPLANE_URL``, else of the home's ``endpoint.json``."""
        place = find_plane(home)
        return cls(
            place.url, place.token, timeout=timeout, surface=surface, is_supervised=place.is_supervised
        )

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    @property
    def position(self) -> int:
        """The log position that the last answer reflects."""
        return self._wire.position

    @property
    def url(self) -> str:
        """The control plane's address."""
        return self._wire.url
