"""Large values of a workflow's steps: read from the files it put them into, and brought to the broker by their digest.

A report names the file by the marker ``{"$file": NAME, "bytes": N}``; what is told has ``{"$object": DIGEST, "bytes":
N}``. The file is the truth: it lies in the run directory until that is removed, so an agent that is started anew brings
it then. Called by the reporting; by the keeper for a run that ended while no agent was there (:func:`bring_all`).
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent.environment import masked_value
from agent.watch.reports import Report
from runplane.bus import Bus, digest_of
from runplane.contract.errors import Unavailable
from runplane.contract.events import StepCompleted, StepStarted

log = logging.getLogger("agent.values")

MOST_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 10.0
_TRIES = 400
_MOST_FILES = 1_000


class Values:
    """Of one attempt. ``spawn`` runs work beside the keeper, which waits for it; ``mask`` hides the run's secrets."""

    def __init__(
        self,
        bus: Bus,
        directory: Path,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        mask: Callable[[str], str] | None,
    ) -> None:
        """Nothing is read before :meth:`taken`."""
        self._bus = bus
        self._directory = directory / "values"
        self._spawn = spawn
        self._mask = mask
        self._known: dict[str, str | None] = {}

    def taken(self, report: Report) -> Report:
        """The report with digests in place of files; what they name is brought to the broker from here on."""
        fact = report.fact
        if isinstance(fact, StepCompleted) and _is_file(fact.result):
            return report.with_fact(fact.model_copy(update={"result": self._marker(fact.result)}))
        if isinstance(fact, StepStarted):
            if _is_file(fact.inputs):
                return report.with_fact(fact.model_copy(update={"inputs": self._marker(fact.inputs)}))
            if isinstance(fact.inputs, dict) and any(map(_is_file, fact.inputs.values())):
                inputs = {
                    name: self._marker(value) if _is_file(value) else value
                    for name, value in fact.inputs.items()
                }
                return report.with_fact(fact.model_copy(update={"inputs": inputs}))
        return report

    def _marker(self, value: Any) -> dict[str, Any]:
        name = str(value["$file"])
        if name not in self._known:
            data = self._read(name)
            self._known[name] = digest_of(data) if data is not None else None
            if data is not None:
                self._spawn(self.bring(name))
        digest = self._known[name]
        size = value.get("bytes")
        if digest is None:
            return {"$truncated": True, "bytes": size if isinstance(size, int) else 0}
        return {"$object": digest, "bytes": size if isinstance(size, int) else 0}

    def _read(self, name: str) -> bytes | None:
        """What the file holds, without the run's secrets; None where it is no JSON, too large, or not there."""
        data = read_file(self._directory, name)
        if data is None or self._mask is None:
            return data
        return json.dumps(masked_value(json.loads(data), self._mask)).encode()

    def names(self) -> list[str]:
        """The files there are, at most a thousand."""
        try:
            found = sorted(entry.name for entry in os.scandir(self._directory))
        except OSError:
            return []
        return [name for name in found if _NAME.fullmatch(name)][:_MOST_FILES]

    async def bring(self, name: str) -> None:
        """Bring the file to the broker; returns when it is there, or cannot be."""
        pause = _FIRST_SECONDS
        for _ in range(_TRIES):
            data = await asyncio.to_thread(self._read, name)
            if data is None:
                return
            try:
                await self._bus.objects.keep(data)
            except Unavailable as error:
                log.info("%s waits to be brought to the broker: %s", name, error.message)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_SECONDS)
        log.error("%s was not brought to the broker: it lies in %s", name, self._directory)


async def bring_all(bus: Bus, directory: Path, mask: Callable[[str], str] | None) -> None:
    """Bring whatever the attempt left, which changes nothing where it was brought before."""
    values = Values(bus, directory, spawn=lambda work: work.close(), mask=mask)
    for name in await asyncio.to_thread(values.names):
        await values.bring(name)


def read_value(values: Path, given: Any) -> Any:
    """A value that may be in a file of ``values``; None where that is no JSON, too large, or not there."""
    if not _is_file(given):
        return given
    data = read_file(values, str(given["$file"]))
    return json.loads(data) if data is not None else None


def read_file(values: Path, name: str) -> bytes | None:
    """What the file holds; None where it is no JSON, too large, or not there."""
    if _NAME.fullmatch(name) is None:
        return None
    try:
        descriptor = os.open(values / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            return None
        json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s is left out: %s", name, error)
        return None
    return data


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("$file"), str)
