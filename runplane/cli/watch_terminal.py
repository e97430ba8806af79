"""``runplane ps --watch`` on a terminal: the table in the alternate screen, drawn when something changed.

Samples are no records, so the stream does not tell them: of as many runs as fit on the screen they are asked for every
``SAMPLE_SECONDS``, in one request. A control plane that goes away is waited for, and the screen says so. Whatever ends
it gives the terminal back as it was.
"""

import asyncio
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

from runplane.cli.duration import show_duration
from runplane.cli.terminal import console
from runplane.cli.watch import PAGE, Watch
from runplane.cli.watch_screen import draw_screen
from runplane.cli.watched_runs import WatchedRuns
from runplane.contract.errors import Unavailable
from runplane.contract.run import Run

SAMPLE_SECONDS = 2.0
NOT_BEFORE_SECONDS = 0.15
"""Changes that come together are drawn together."""
_SAMPLE_WITHIN = 4.0
_AGAIN_SECONDS = 1.0
_ALWAYS_SAMPLED = 10
_ENDED_BY_SIGTERM = 143


class Screen:
    """The live table."""

    def __init__(self, watch: Watch) -> None:
        """Nothing is shown yet."""
        self._watch = watch
        self._watched = WatchedRuns(watch.wanted, watch.limit)
        self._changed = asyncio.Event()
        self._position = 0
        self._away_since: float | None = None

    async def show(self) -> None:
        """Until Ctrl-C or SIGTERM; raises Unavailable where there is no control plane to begin with."""
        self._begin(*await self._watch.begin())
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        tasks = {asyncio.create_task(work) for work in (self._draw(), self._feed(), self._sample())}
        ending = asyncio.create_task(ended.wait())
        try:
            done, _ = await asyncio.wait({*tasks, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, ending):
                task.cancel()
            await asyncio.gather(*tasks, ending, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_signal_handler(signal.SIGTERM)
        for task in done & tasks:
            task.result()
        sys.exit(_ENDED_BY_SIGTERM)

    def _begin(self, runs: list[Run], position: int) -> None:
        self._watched = WatchedRuns(self._watch.wanted, self._watch.limit)
        for run in runs:
            self._watched.take(run, time.monotonic())
        self._position = position
        self._reached()

    async def _draw(self) -> None:
        from rich.console import Group
        from rich.live import Live

        screen = console()
        ascii_only = not screen.encoding.lower().startswith("utf")
        with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                size = shutil.get_terminal_size()
                self._watched.expire(time.monotonic())
                lines = draw_screen(
                    list(self._watched),
                    width=size.columns,
                    height=size.lines,
                    now=datetime.now(UTC),
                    trouble=self._trouble(),
                    ascii_only=ascii_only,
                )
                live.update(Group(*lines), refresh=True)
                await asyncio.sleep(NOT_BEFORE_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):  # ages go on
                        await self._changed.wait()
                self._changed.clear()

    async def _feed(self) -> None:
        while True:
            try:
                await self._watch.follow(self._position, self._take)
            except Unavailable:
                self._away()
            await asyncio.sleep(_AGAIN_SECONDS)
            with suppress(Unavailable):
                self._begin(*await self._watch.begin())

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            rows = max(_ALWAYS_SAMPLED, shutil.get_terminal_size().lines)
            try:
                async with asyncio.timeout(_SAMPLE_WITHIN):
                    page = await self._watch.page(min(rows, self._watch.limit, PAGE))
            except (Unavailable, TimeoutError):
                self._away()
                continue
            self._watched.sample(
                page.items,
                time.monotonic(),
                position=self._watch.client.position,
                is_all=page.next_cursor is None,
            )
            self._reached()

    def _take(self, run: Run) -> None:
        if self._watched.take(run, time.monotonic()):
            self._changed.set()
        self._away_since = None

    def _reached(self) -> None:
        self._away_since = None
        self._changed.set()

    def _away(self) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
        self._changed.set()

    def _trouble(self) -> str:
        if self._away_since is None:
            return ""
        away = show_duration(time.monotonic() - self._away_since)
        return f"the control plane is not reached for {away}: what is shown is old. `runplane up` starts it"
