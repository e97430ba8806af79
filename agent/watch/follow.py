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
    keep: Callable[[list[Report]], None],
    at_once: Callable[[], bool] = lambda: False,
) -> None:
    """Hand over what is reported: the first at once, then at most once in :data:`COALESCE_SECONDS`.

    While ``at_once`` says that the workflow may be waiting for an answer, it is read as it comes, and what waits for
    one is handed over at once; the rest is handed to ``keep`` until its time has come. Ends when ``finished`` is set.
    What is reported after that is read by whoever tells the end, so that it stands before the end in the log.
    """
    clock = asyncio.get_running_loop().time
    last_told, is_kept = -COALESCE_SECONDS, False
    while not finished.is_set():
        told = watcher.arm(path)
        reports = file.read()
        due = last_told + COALESCE_SECONDS
        if any(report.is_urgent for report in reports) or ((reports or is_kept) and clock() >= due):
            last_told, is_kept = clock(), False
            await tell(reports)
        elif reports:
            is_kept = True
            keep(reports)
        if file.has_more:
            await asyncio.sleep(0)  # the others go on meanwhile
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due if is_kept else None):
                await written_or(told, finished)
        if at_once():
            continue
        pause = max(_GATHER_SECONDS, last_told + COALESCE_SECONDS - clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await finished.wait()
