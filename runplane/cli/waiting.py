"""Waiting for a run to become something: told by the live stream, never asked again and again."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from runplane.client import Client
from runplane.contract.run import Run


async def wait_until(
    client: Client,
    run: Run,
    condition: Callable[[Run], bool],
    *,
    limit: float | None,
    on_change: Callable[[Run], None] | None = None,
) -> Run:
    """The run once the condition holds, or as it stands after ``limit`` seconds (None: for ever).

    Begins at the log position of the ``run`` that is given, so that nothing in between is missed.
    """
    if condition(run):
        return run
    try:
        async with asyncio.timeout(limit):
            async with aclosing(client.stream(run_id=run.run_id, after_seq=run.seq)) as changes:
                async for change in changes:
                    now = change.run
                    if change.missed or now is None or now.run_id != run.run_id:
                        now = await client.get_run(run.run_id)
                    if on_change is not None:
                        on_change(now)
                    if condition(now):
                        return now
    except TimeoutError:
        pass
    return await client.get_run(run.run_id)


def has_ended(run: Run) -> bool:
    """Whether the run has ended."""
    return run.status.ended
