"""Watches whether the embedded broker can store. Run by `up`.

After a write that failed, as on a full disk, nats-server stores nothing more until it is started anew, whatever room
there is by then. So it is started anew once there is room; before that it would fail again. Where that does not help,
for the fault is another, it is tried again after pauses that grow.
"""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_EVERY = 5.0
LONGEST_PAUSE = 300.0
ROOM_BYTES = 8 * 2**20


async def keep_storing(
    *,
    fault: Callable[[], str | None],
    free_bytes: Callable[[], int],
    start_again: Callable[[], Awaitable[None]],
    say: Callable[[str], None],
    every: float = LOOK_EVERY,
) -> None:
    """For ever. ``fault`` says why nothing is stored, and may block; ``free_bytes`` is of the disk of the store."""
    told, pause = "", every
    while True:
        await asyncio.sleep(pause)
        why = await asyncio.to_thread(fault)
        if why is None:
            told, pause = "", every
        elif free_bytes() < ROOM_BYTES:
            if told != why:
                say(f"{why}. Nothing is accepted until there is room; then the broker is started again")
            told = why
        else:
            say(f"there is room for the broker again; starting it again ({why})")
            await start_again()
            pause = min(2 * pause, LONGEST_PAUSE)
