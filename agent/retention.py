"""Removes the directories of runs that were over long ago, so that the disk stays bounded. Run by the composition root.

A run that is still kept is never touched, whatever its age: what it printed may not have been shipped yet.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("agent.retention")

_LOOK_EVERY_SECONDS = 3600.0


async def remove_old_runs(runs: Path, keep_seconds: float, is_kept: Callable[[str], bool]) -> None:
    """Look now and then every hour, for ever."""
    while True:
        removed = await asyncio.to_thread(sweep, runs, time.time() - keep_seconds, is_kept)
        if removed:
            log.info("%d directories of runs that ended long ago were removed", removed)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def sweep(runs: Path, before: float, is_kept: Callable[[str], bool]) -> int:
    """Remove what was last written to before a moment (seconds since the epoch); how many runs that were."""
    removed = 0
    for directory in runs.iterdir() if runs.is_dir() else ():
        if not is_kept(directory.name) and _last_written(directory) < before:
            shutil.rmtree(directory, ignore_errors=True)
            removed += 1
    return removed


def _last_written(directory: Path) -> float:
    try:
        return max(
            entry.stat().st_mtime
            for attempt in directory.iterdir()
            for entry in (attempt, *attempt.glob("*"))
        )
    except (OSError, ValueError):
        return time.time()
