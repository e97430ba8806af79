"""Work for one viewer: it begins when the browser is there, and ends when the viewer has gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from nicegui import Client, background_tasks, ui

from control_plane.context import Context
from control_plane.read_model.changes import Ending
from runplane.contract.errors import RunplaneError

AGAIN_SECONDS = 2.0


def follow(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work for the viewer of the page that is being built; where the broker is away, begin it again."""
    client = ui.context.client

    async def run() -> None:
        await client.connected()
        while not client.is_deleted:
            try:
                await work()
                return
            except Ending:
                return
            except RunplaneError:
                await asyncio.sleep(AGAIN_SECONDS)

    task = background_tasks.create(run(), name=name)

    def end() -> None:
        task.cancel()

    client.on_delete(end)


def call(client: Client, function: str, *arguments: object) -> None:
    """Call one of our functions in the viewer's browser. Arguments go as JSON: data, whatever a run put into them."""
    client.run_javascript(f"rp.{function}({', '.join(json.dumps(one) for one in arguments)})")


def call_raw(client: Client, script: str) -> None:
    """A call whose arguments were encoded before, once for all viewers."""
    client.run_javascript(script)


@asynccontextmanager
async def told_of(context: Context, run_id: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever the run, or what its host last sampled, may have changed; it is set at first."""
    told = asyncio.Event()
    told.set()

    async def of_records() -> None:
        async with context.read_model.subscribe(run_id) as changes:
            with suppress(Ending):
                async for _ in changes:
                    told.set()

    async def of_samples() -> None:
        async with context.telemetry.subscribe() as hosts:
            with suppress(Ending):
                async for changed in hosts:
                    run = context.read_model.run(run_id)
                    if run is not None and run.host in changed:
                        told.set()

    tasks = [asyncio.create_task(of_records()), asyncio.create_task(of_samples())]
    await asyncio.sleep(0)  # both are subscribed before the caller reads what is there
    try:
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
