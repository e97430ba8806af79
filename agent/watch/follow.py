"""Follows a run's reports while it lives, coalescing progress. Called by the keeper."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.file_watcher import FileWatcher, written_or
from agent.watch.reports import COALESCE_SECONDS, Report, ReportFile

_GATHER_SECONDS = 0.01
"""Lines written together are told together."""


async def follow_reports(
    file: ReportFile,
    path: Path,
    watcher: FileWatcher,
    finished: asyncio.Event,
    tell: Callable[[list[Report]], Awaitable[None]],
    *,
    at_once: Callable[[], bool] = lambda: False,
) -> None:
    """Hand over what is reported: the first at once, then at most once in :data:`COALESCE_SECONDS`, or as it comes
    while ``at_once`` says that the workflow may be waiting for an answer.

    Ends when ``finished`` is set. What is reported after that is read by whoever tells the end, so that it stands
    before the end in the log.
    """
    clock = asyncio.get_running_loop().time
    last_told = -COALESCE_SECONDS
    while not finished.is_set():
        told = watcher.arm(path)
        reports = file.read()
        if reports:
            last_told = clock()
            await tell(reports)
        if file.has_more:
            await asyncio.sleep(0)  # the others go on meanwhile
            continue
        await written_or(told, finished)
        pause = max(_GATHER_SECONDS, last_told + COALESCE_SECONDS - clock())
        if at_once():
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await finished.wait()
