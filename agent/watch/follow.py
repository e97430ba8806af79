"""Follows a run's reports while it lives, coalescing progress. Called by the keeper."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.file_watcher import FileWatcher, written_or
from agent.watch.reports import COALESCE_SECONDS, Report, ReportFile


async def follow_reports(
    file: ReportFile,
    path: Path,
    watcher: FileWatcher,
    finished: asyncio.Event,
    tell: Callable[[list[Report]], Awaitable[None]],
) -> None:
    """Hand over what is reported, at most once in :data:`COALESCE_SECONDS`; ends when ``finished`` is set.

    What is reported after that is read by whoever tells the end, so that it stands before the end in the log.
    """
    while not finished.is_set():
        told = watcher.arm(path)
        reports = file.read()
        if reports:
            await tell(reports)
        await written_or(told, finished)
        if not finished.is_set():
            try:
                async with asyncio.timeout(COALESCE_SECONDS):
                    await finished.wait()
            except TimeoutError:
                continue
