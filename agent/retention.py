"""Removes the directories of runs that were over long ago, so that the disk stays bounded. Run by the composition root.

A run that is still kept is never touched, whatever its age: what it printed may not have been shipped yet. Age is
counted while the machine is up, by the clock that nobody sets, and kept in a file of the agent: a time of day that is
wrong, or is put right, makes nothing old. Where that file is lost the count begins anew.
"""

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("agent.retention")

_LOOK_EVERY_SECONDS = 3600.0


class Retention:
    """Of one agent. ``runs`` holds a directory for each run, ``file`` what is known of their age."""

    def __init__(
        self,
        runs: Path,
        file: Path,
        keep_seconds: float,
        *,
        boot_id: str,
        uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """``uptime``: seconds since this start of the machine, ``boot_id`` names it."""
        self._runs = runs
        self._file = file
        self._keep_seconds = keep_seconds
        self._boot_id = boot_id
        self._uptime = uptime

    async def run(self, is_kept: Callable[[str], bool]) -> None:
        """Look now and then every hour, for ever."""
        while True:
            removed = await asyncio.to_thread(self.sweep, is_kept)
            if removed:
                log.info("%d directories of runs that ended long ago were removed", removed)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def sweep(self, is_kept: Callable[[str], bool]) -> int:
        """Remove what has been over for long enough; how many runs that were."""
        known = self._read()
        uptime = self._uptime()
        passed = uptime - known["uptime"] if known["boot_id"] == self._boot_id else uptime
        counted = known["counted"] + max(0.0, passed)
        over: dict[str, float] = {}
        removed = 0
        for directory in self._runs.iterdir() if self._runs.is_dir() else ():
            if is_kept(directory.name):
                continue
            since = known["over"].get(directory.name, counted)
            if counted - since >= self._keep_seconds:
                shutil.rmtree(directory, ignore_errors=True)
                removed += 1
            else:
                over[directory.name] = since
        self._write({"boot_id": self._boot_id, "uptime": uptime, "counted": counted, "over": over})
        return removed

    def _read(self) -> dict[str, Any]:
        """What was known at the last look."""
        try:
            known = json.loads(self._file.read_bytes())
            return {
                "boot_id": str(known["boot_id"]),
                "uptime": float(known["uptime"]),
                "counted": float(known["counted"]),
                "over": {str(run): float(since) for run, since in known["over"].items()},
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s): the age of runs is counted anew", self._file, error)
        return {"boot_id": self._boot_id, "uptime": self._uptime(), "counted": 0.0, "over": {}}

    def _write(self, known: dict[str, Any]) -> None:
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(known))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file, error.strerror)
