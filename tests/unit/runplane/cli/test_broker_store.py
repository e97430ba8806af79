import asyncio

import pytest

from runplane.cli.broker_store import LONGEST_PAUSE, ROOM_BYTES, keep_storing

pytestmark = pytest.mark.anyio


async def test_it_is_started_again_when_there_is_room_and_not_before() -> None:
    """What is found, look by look; a fault is said once, and said again when it came back."""
    full = "the broker stores nothing: no space left on device"
    looks = iter(
        [(None, 0), (full, 0), (full, ROOM_BYTES - 1), (full, ROOM_BYTES), (None, ROOM_BYTES), (full, 0)]
    )
    free = 0
    started: list[int] = []
    said: list[str] = []
    over = asyncio.Event()
    looked = 0

    def fault() -> str | None:
        nonlocal free, looked
        looked += 1
        found, free = next(looks, (None, 0))
        if looked > 6:
            loop.call_soon_threadsafe(over.set)
        return found

    async def start_again() -> None:
        started.append(looked)

    loop = asyncio.get_running_loop()
    watching = asyncio.create_task(
        keep_storing(
            fault=fault, free_bytes=lambda: free, start_again=start_again, say=said.append, every=0.001
        )
    )
    await asyncio.wait_for(over.wait(), 20)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert started == [4]
    assert [line.startswith(full) for line in said] == [True, False, True]


async def test_where_it_does_not_help_the_pauses_grow_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    over = asyncio.Event()
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            over.set()
        await sleep(0)

    async def start_again() -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", note)
    watching = asyncio.create_task(
        keep_storing(
            fault=lambda: None if len(pauses) == 10 else "a write error",
            free_bytes=lambda: ROOM_BYTES,
            start_again=start_again,
            say=lambda _: None,
        )
    )
    await asyncio.wait_for(over.wait(), 20)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert pauses[8] == pauses[9] == LONGEST_PAUSE
    assert pauses[10:12] == [5.0, 10.0]
