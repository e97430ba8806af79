"""Waiting for a run: woken by the control plane's stream of changes, never past a limit, telling how it stands.

The stream only wakes; what is believed is the run as read. It begins at the log position of the first reading, so
nothing falls between the two. Should it break for good, the run is still read again at every tick.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from runplane.client import Client
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Run

TICK = 2.0
Tell = Callable[[Run, float], Awaitable[None]]


async def until(
    client: Client,
    run_id: str,
    holds: Callable[[Run], bool],
    *,
    timeout: float,
    tell: Tell,
    known: Run | None = None,
) -> Run:
    """The run once ``holds``, or as it is after ``timeout`` seconds. ``known``: the run as just read, if it was.

    ``tell`` is given the run and the seconds waited, at every change and every tick.
    """
    begun = time.monotonic()
    run = known if known is not None else await client.get_run(run_id)
    if holds(run):
        return run
    async with _woken_by(client, run) as woken:
        while (left := begun + timeout - time.monotonic()) > 0:
            await tell(run, timeout - left)
            await _first(woken, min(TICK, left))
            woken.clear()
            run = await client.get_run(run_id)
            if holds(run):
                return run
    return run


@asynccontextmanager
async def _woken_by(client: Client, run: Run) -> AsyncIterator[asyncio.Event]:
    woken = asyncio.Event()

    async def listen() -> None:
        try:
            async with aclosing(client.stream(run_id=run.run_id, after_seq=run.seq)) as changes:
                async for _ in changes:
                    woken.set()
        except RunplaneError:
            return

    task = asyncio.create_task(listen())
    try:
        yield woken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(woken: asyncio.Event, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await woken.wait()
    except TimeoutError:
        return
