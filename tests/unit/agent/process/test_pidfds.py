import asyncio
import os
import subprocess
import time

import pytest

from agent.process.identity import ProcessIdentity, identify
from agent.process.pidfds import Pidfds, wait_ended

pytestmark = pytest.mark.anyio


def sleepers(count: int) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen(["sleep", "1000"]) for _ in range(count)]


def identity(child: subprocess.Popen[bytes]) -> ProcessIdentity:
    found = identify(child.pid)
    assert found is not None
    return found


async def test_ten_are_awaited_together() -> None:
    children = sleepers(10)
    with Pidfds() as pidfds:
        for child in children:
            assert pidfds.add(identity(child)) == pidfds.add(identity(child))
        assert len(pidfds) == 10
        assert not await pidfds.wait_all(0.02)
        for child in children[:9]:
            child.kill()
        assert not await pidfds.wait_all(0.1)
        children[9].kill()
        assert await pidfds.wait_all(10), "zombies count as ended"
        assert await pidfds.wait_all(0)
    assert len(pidfds) == 0
    for child in children:
        child.wait()


async def test_one_that_is_gone_cannot_be_held() -> None:
    (child,) = sleepers(1)
    who = identity(child)
    child.kill()
    child.wait()
    with Pidfds() as pidfds:
        assert pidfds.add(who) is None
        assert pidfds.get(who) is None
        assert await pidfds.wait_all(0)


async def test_a_canceled_wait_leaves_nothing_behind() -> None:
    (child,) = sleepers(1)
    pidfd = os.pidfd_open(child.pid)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the number
    waiting = asyncio.ensure_future(wait_ended([pidfd], None))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    os.close(pidfd)
    child.kill()
    child.wait()


async def test_it_is_the_kernel_that_wakes() -> None:
    children = sleepers(10)
    with Pidfds() as pidfds:
        for child in children:
            pidfds.add(identity(child))
        began = time.perf_counter()
        for child in children:
            child.kill()
        assert await pidfds.wait_all(10)
        assert time.perf_counter() - began < 1
    for child in children:
        child.wait()
