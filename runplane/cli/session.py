"""A verb's conversation with the control plane: one client, one event loop, errors left to ``main``."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runplane.client import Client

Result = TypeVar("Result")


def talk(work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run ``work`` with a client of the environment's control plane, as the surface ``cli``."""

    async def conversation() -> Result:
        async with Client.from_environment(surface="cli") as client:
            return await work(client)

    return asyncio.run(conversation())
