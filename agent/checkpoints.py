"""Keeps what a workflow gives to go on from: in the object store first, then in the log, then it is acknowledged.

Of one attempt; called by its reporting. Of checkpoints that come faster than they can be stored the last one is. What
cannot be kept is refused in words, and the one before stands. ``checkpoint.json`` in the run directory says to the
workflow, in any language, how far this has come.
"""

import asyncio
import json
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent.environment import masked_value
from agent.hall import Hall
from agent.process.run_directory import RunDirectory
from agent.story import Story
from agent.values import read_value
from agent.watch.reports import CheckpointTaken
from runplane.bus import FileChanged
from runplane.contract.errors import Unavailable
from runplane.contract.events import CheckpointRefused, CheckpointStored, StoredFile
from runplane.contract.ids import derive_record_id
from runplane.contract.units import show_size

log = logging.getLogger("agent.checkpoints")

MOST_FILE_BYTES = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
_SETTLE_SECONDS = 2.0
_MOST_WRITERS = 100
_MOST_WAITING = 1_000


class Refused(Exception):
    """This checkpoint cannot be kept, now or later."""


class Checkpoints:
    """``cwd``: the working directory; ``lock`` is the keeper's; ``mask`` hides the run's secrets in the state."""

    def __init__(
        self,
        hall: Hall,
        story: Story,
        directory: Path,
        cwd: str,
        lock: asyncio.Lock,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        mask: Callable[[str], str] | None,
    ) -> None:
        """Nothing is read before :meth:`take`."""
        self._hall = hall
        self._story = story
        self._directory = RunDirectory(directory)
        self._cwd = cwd
        self._lock = lock
        self._spawn = spawn
        self._mask = mask
        self._next: CheckpointTaken | None = None
        self._passed: deque[CheckpointTaken] = deque(maxlen=_MOST_WAITING)
        self._idle = asyncio.Event()
        self._idle.set()
        self._standing: dict[str, Any] = {"number": 0, "stored": {}}

    def take(self, taken: CheckpointTaken) -> None:
        """Store it, unless it was, or a later one: what waits gives way to what comes after it."""
        if taken.number <= self._story.checkpoint or self._story.has_told(self._record_id(taken)):
            if taken.number == self._story.checkpoint:
                self._acknowledge(taken, None)
            return
        self._passed.append(taken)
        self._next = taken
        if self._idle.is_set():
            self._idle.clear()
            self._spawn(self._store_all())

    async def settled(self) -> None:
        """Wait until what was taken is stored, for a few seconds at most, and not at all while the broker is away."""
        if self._hall.bus.connected:
            try:
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("%s: its last checkpoint was not stored before its end", self._story.run_id)

    async def _store_all(self) -> None:
        try:
            pause = _FIRST_SECONDS
            while (taken := self._next) is not None and not self._is_over:
                try:
                    await self._store(taken)
                except Unavailable as error:
                    log.info("%s: a checkpoint waits to be stored: %s", self._story.run_id, error.message)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_SECONDS)
                    continue
                pause = _FIRST_SECONDS
                if self._next is taken:
                    self._next = None
        finally:
            self._idle.set()

    @property
    def _is_over(self) -> bool:
        run = self._story.state.run
        return run is None or run.attempt_over

    async def _store(self, taken: CheckpointTaken) -> None:
        """Raises Unavailable: it is to be tried again."""
        try:
            fact = await self._kept(taken)
        except Refused as error:
            log.warning("%s: checkpoint %d is refused: %s", self._story.run_id, taken.number, error)
            await self._tell(CheckpointRefused(number=taken.number, why=str(error)), taken)
            self._acknowledge(taken, str(error))
        else:
            await self._tell(fact, taken)
            await self._hall.publisher.settled(self._story.run_id)  # a host that is lost now has told of it
            self._acknowledge(taken, None)

    async def _kept(self, taken: CheckpointTaken) -> CheckpointStored:
        objects = self._hall.bus.objects
        state = await asyncio.to_thread(read_value, self._directory.path / "values", taken.state)
        if state is None:
            raise Refused("its state is not JSON, larger than 16 MiB, or not where the workflow says")
        paths = await asyncio.to_thread(self._files, taken.files)
        files: dict[str, StoredFile] = {}
        for name, path in paths.items():
            try:
                digest, size = await objects.keep_file(path)
            except FileChanged as error:
                raise Refused(f"file {name}: {error}: write it whole, then give the checkpoint") from None
            except OSError as error:
                raise Refused(f"file {name} cannot be read: {error}") from None
            files[name] = StoredFile(digest=digest, bytes=size)
        if self._mask is not None:
            state = masked_value(state, self._mask)
        document = json.dumps(
            {
                "run_id": self._story.run_id,
                "attempt": self._story.attempt,
                "number": taken.number,
                "state": state,
                "files": {name: file.model_dump() for name, file in files.items()},
            }
        ).encode()
        digest = await objects.keep(document)
        size = len(document) + sum(file.bytes for file in files.values())
        return CheckpointStored(digest=digest, number=taken.number, bytes=size, files=files)

    def _files(self, named: dict[str, str]) -> dict[str, Path]:
        """The files that belong to it: below the working or the run directory, and together not too large."""
        found: dict[str, Path] = {}
        total = 0
        for name, given in named.items():
            if _NAME.fullmatch(name) is None:
                raise Refused(f"{name[:80]!r} cannot name a file: letters, digits, dots, dashes, 150 at most")
            path = Path(os.path.realpath(Path(self._cwd) / given))
            roots = (os.path.realpath(self._cwd), os.path.realpath(self._directory.path))
            if not any(path.is_relative_to(root) for root in roots):
                raise Refused(f"file {name} ({given[:200]}) lies outside the run's working directory")
            try:
                said = path.stat()
            except OSError as error:
                raise Refused(f"file {name} ({given[:200]}): {error.strerror}") from None
            if not stat.S_ISREG(said.st_mode):
                raise Refused(f"file {name} ({given[:200]}) is no regular file")
            total += said.st_size
            if total > MOST_FILE_BYTES:
                raise Refused(
                    f"its files take more than {show_size(MOST_FILE_BYTES)} together: keep large data where the next "
                    f"attempt finds it, and give its place"
                )
            found[name] = path
        return found

    async def _tell(self, fact: CheckpointStored | CheckpointRefused, taken: CheckpointTaken) -> None:
        async with self._lock:
            if not self._is_over and taken.number > self._story.checkpoint:
                await self._story.report(self._story.fact(fact, record_id=self._record_id(taken)))

    def _record_id(self, taken: CheckpointTaken) -> str:
        return derive_record_id("checkpoint", self._story.run_id, str(self._story.attempt), str(taken.number))

    def _acknowledge(self, taken: CheckpointTaken, refused: str | None) -> None:
        standing = self._standing
        if refused is None:
            standing["number"] = max(standing["number"], taken.number)
            self._passed.append(taken)
            while (
                self._passed and self._passed[0].number <= taken.number
            ):  # it has taken the place of those before it
                writer, _, number = (self._passed.popleft().id or "").rpartition("-")
                if writer and number.isdecimal() and len(standing["stored"]) < _MOST_WRITERS:
                    standing["stored"][writer] = int(number)
        else:
            standing["refused"] = {"id": taken.id, "number": taken.number, "why": refused}
        try:
            self._directory.write_checkpoint(standing)
        except OSError as error:
            log.warning("%s: a checkpoint cannot be acknowledged: %s", self._story.run_id, error)
