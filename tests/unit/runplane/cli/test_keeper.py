import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from runplane.cli.keeper import LONGEST_DELAY, Keeper, Part, delay_before_restart

pytestmark = pytest.mark.anyio


def part(log: Path, program: str, *, stop_within: float = 10.0) -> Part:
    return Part(
        name="a part",
        argv=lambda: [sys.executable, "-S", "-c", program],
        env=lambda: dict(os.environ),
        log=log,
        stop_within=stop_within,
    )


async def printed(log: Path, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in log.read_text():
            await asyncio.sleep(0.01)


class Watched:
    """A keeper, what it said, and the pids it had."""

    def __init__(self, kept: Part) -> None:
        self.said: list[str] = []
        self.pids: list[int | None] = []
        self.started = asyncio.Event()
        self.keeper = Keeper(kept, say=self.said.append, changed=self._changed)
        self.task = asyncio.create_task(self.keeper.run())

    def _changed(self) -> None:
        self.pids.append(self.keeper.pid)
        self.started.set()

    async def another(self) -> int:
        """The pid of the next process that is started."""
        self.started.clear()
        await asyncio.wait_for(self.started.wait(), 30)
        assert self.pids[-1] is not None
        return self.pids[-1]

    async def end(self) -> None:
        await asyncio.wait_for(self.keeper.stop(asyncio.Event()), 30)
        await asyncio.wait_for(self.task, 30)


@pytest.mark.parametrize(
    ("deaths", "delay"),
    [(0, 0.0), (1, 0.0), (2, 0.2), (3, 0.4), (6, 3.2), (7, LONGEST_DELAY), (10_000, LONGEST_DELAY)],
)
def test_at_once_the_first_time_then_ever_more_slowly(deaths: int, delay: float) -> None:
    assert delay_before_restart(deaths) == pytest.approx(delay)


async def test_a_killed_part_is_started_again_and_the_operator_is_told_why(tmp_path: Path) -> None:
    watched = Watched(part(tmp_path / "log", "import signal; print('hello', flush=True); signal.pause()"))
    first = await watched.another()
    await printed(tmp_path / "log", "hello")

    os.kill(first, signal.SIGKILL)
    second = await watched.another()
    await watched.end()

    assert second != first
    assert "SIGKILL" in watched.said[0]
    assert "hello" in watched.said[0]


async def test_a_crash_loop_slows_down(tmp_path: Path) -> None:
    watched = Watched(part(tmp_path / "log", "raise SystemExit('broken settings')"))

    for _ in range(4):
        await watched.another()
    await watched.end()

    assert "exit code 1; starting it again. " in watched.said[0]
    assert "in 0.2 s" in watched.said[1]
    assert "in 0.4 s" in watched.said[2]
    assert "broken settings" in watched.said[2]


async def test_a_part_that_ignores_sigterm_is_killed_after_its_limit(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\nwhile True: signal.pause()"
    watched = Watched(part(tmp_path / "log", deaf, stop_within=0.2))
    pid = await watched.another()
    await printed(tmp_path / "log", "deaf")

    await watched.end()

    assert not Path(f"/proc/{pid}").exists()
    assert any("was killed" in line for line in watched.said)


async def test_a_part_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    missing = Part(
        name="a part", argv=lambda: ["/nonexistent"], env=dict, log=tmp_path / "log", stop_within=1
    )
    watched = Watched(missing)

    for _ in range(2):
        await watched.another()
    await watched.end()

    assert "exit code 127" in watched.said[0]
    assert "/nonexistent" in watched.said[0]
