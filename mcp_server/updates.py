"""Telling a client that a resource has changed: what to subscribe to is what can be read (``resources.TEMPLATES``).

The control plane's stream wakes; a client is told at most once a second for each resource, and reads it again itself.
While the control plane is away nothing is told; when it is back, every subscribed resource counts as changed. A client
of a handshake revision subscribes on its connection (stdio); a client of 2026-07-28 listens with one open request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from mcp_server.resources import Address, address_of
from runplane.client import Client
from runplane.contract.errors import RunplaneError, SystemFault

log = logging.getLogger("mcp_server.updates")

MOST = 100
"""Resources that one connection, or one listening request, may be told of."""
AT_MOST_EVERY = 1.0
TRY_AGAIN_AFTER = 5.0

Connect = Callable[[], Client]
Tell = Callable[[str], Awaitable[None]]


class Subscriptions:
    """What the client of one connection is told of."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def add(
        self, context: ServerRequestContext[Any, Any], params: SubscribeRequestParams, connect: Connect
    ) -> EmptyResult:
        """Begin to tell of one resource; asked for twice, it is told of once."""
        uri = str(params.uri)
        address = address_of(uri)
        if len(self._tasks) >= MOST and uri not in self._tasks:
            raise _too_many()
        if uri not in self._tasks:
            self._tasks[uri] = asyncio.create_task(
                _tell_of(uri, address, connect, context.session.send_resource_updated)
            )
        return EmptyResult()

    async def remove(self, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell of it no more."""
        if task := self._tasks.pop(str(params.uri), None):
            await _end([task])
        return EmptyResult()

    async def close(self) -> None:
        """Tell of nothing more."""
        await _end(list(self._tasks.values()))
        self._tasks.clear()


@asynccontextmanager
async def subscriptions(_server: object) -> AsyncIterator[Subscriptions]:
    """The subscriptions of one connection, for as long as it lives."""
    mine = Subscriptions()
    try:
        yield mine
    finally:
        await mine.close()


async def listen(
    context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams, connect: Connect
) -> SubscriptionsListenResult:
    """Serve one listening request until its client goes away."""
    uris = [str(uri) for uri in params.notifications.resource_subscriptions or ()]
    if len(uris) > MOST:
        raise _too_many()
    bus = InMemorySubscriptionBus()

    async def tell(uri: str) -> None:
        await bus.publish(ResourceUpdated(uri=uri))

    tasks = [
        asyncio.create_task(_tell_of(uri, address_of(uri), connect, tell)) for uri in dict.fromkeys(uris)
    ]
    try:
        return await ListenHandler(bus)(context, params)
    finally:
        await _end(tasks)


async def _tell_of(uri: str, address: Address, connect: Connect, tell: Tell) -> None:
    changed = asyncio.Event()
    watching = asyncio.create_task(_watch(address, connect, changed))
    try:
        while True:
            await changed.wait()
            changed.clear()
            await tell(uri)
            await asyncio.sleep(AT_MOST_EVERY)
    finally:
        await _end([watching])


async def _watch(address: Address, connect: Connect, changed: asyncio.Event) -> None:
    """Set ``changed`` at every change. Goes on after the control plane was away, for as long as the subscription."""
    while True:
        try:
            async with connect() as client:
                async for _ in _changes(address, client):
                    changed.set()
            return
        except SystemFault as error:
            log.info("%s cannot be watched for now: %s", address, error.message)
        except RunplaneError as error:
            log.warning("%s is not watched any more: %s", address, error.message)
            return
        await asyncio.sleep(TRY_AGAIN_AFTER)
        changed.set()


async def _changes(address: Address, client: Client) -> AsyncIterator[None]:
    match address.kind:
        case "run":
            async with aclosing(client.stream(run_id=address.id)) as changes:
                async for _ in changes:
                    yield
        case "logs":
            async with aclosing(client.follow_logs(address.id, tail=0)) as pieces:
                async for _ in pieces:
                    yield
        case "host":
            async with aclosing(client.stream()) as changes:
                async for change in changes:
                    if change.missed or (change.record and f".host.{address.id}." in change.record.subject):
                        yield


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _too_many() -> MCPError:
    return MCPError(
        INVALID_PARAMS, f"At most {MOST} resources can be subscribed to: unsubscribe from some first."
    )
