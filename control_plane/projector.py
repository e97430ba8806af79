"""The projector: the one loop that folds the log into the read model.

The read model's position moves in the same transaction as everything else, so a crash at any moment leaves the loop
to go on with exactly the next record. A log that is older than the read model, or another one, is refused: waiting
for its positions to come round again would silently drop records.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Sequence

from control_plane.read_model import ReadModel
from control_plane.read_model.projection import digest
from control_plane.read_model.schema import is_damage, set_aside
from runplane.bus import Bus, Message, Reader
from runplane.contract.errors import SystemFault, Unavailable
from runplane.contract.subjects import LOG_STREAM

log = logging.getLogger("control_plane.projector")

SLICE = 100
"""Records of one transaction: ten to twenty milliseconds, after which requests get their turn."""
GUARD_SECONDS = 10.0
"""How often it is checked, beside every reconnection, that the log is still the one that was folded."""
_WRITE_RETRY_SECONDS = 1.0
_WRITE_GIVE_UP_SECONDS = 600.0
_CHECK_SECONDS = 10.0
_CHECK_RETRY_SECONDS = 0.5
_CHECK_GIVE_UP_SECONDS = 30.0


class LogMismatch(SystemFault):
    """The log is not the one that the read model was folded from."""

    code = "log_mismatch"


class Projector:
    """``trouble`` says what keeps it from writing, or is None; ``caught_up`` is set once it reached the log's end."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Nothing happens before :meth:`run`."""
        self._bus = bus
        self._read_model = read_model
        self._suspicious = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.trouble: str | None = None

    async def run(self) -> None:
        """Fold the log for ever. Raises :class:`LogMismatch`, or ``sqlite3.Error`` when nothing can be written."""
        if self._read_model.set_aside_file is not None:
            log.warning("the read model is built anew from the log: %s", self._read_model.set_aside_file)
        await self._until_checked()
        target = await self._bus.last_seq(LOG_STREAM)
        if target <= self._read_model.position:
            self.caught_up.set()
        forget = self._bus.on_wake(self._suspicious.set)
        reader = self._bus.read_log(start_seq=self._read_model.position + 1)
        guard = asyncio.create_task(self._guard(), name="log-guard")
        following = asyncio.create_task(self._follow(reader, target), name="projector-follow")
        try:
            done, _ = await asyncio.wait({guard, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            forget()
            for task in (guard, following):
                task.cancel()
            await asyncio.gather(guard, following, return_exceptions=True)
            await reader.close()

    async def lag(self) -> int:
        """How many records of the log are not folded yet."""
        return max(0, await self._bus.last_seq(LOG_STREAM) - self._read_model.position)

    async def _follow(self, reader: Reader, target: int) -> None:
        async for batch in reader:
            if self._suspicious.is_set():
                await self._until_checked()
            for start in range(0, len(batch), SLICE):
                await self._project(batch[start : start + SLICE])
                if len(batch) > SLICE:
                    await asyncio.sleep(0)
            if not self.caught_up.is_set() and self._read_model.position >= target:
                log.info("caught up with the log at %d", self._read_model.position)
                self.caught_up.set()

    async def _project(self, messages: Sequence[Message]) -> None:
        """Write one slice; while the disk is full, try again, and say so."""
        before = self._read_model.set_aside_count
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WRITE_GIVE_UP_SECONDS
        while True:
            try:
                self._read_model.project(messages)
                break
            except sqlite3.Error as error:
                if is_damage(error):
                    kept = set_aside(self._read_model.path)
                    log.critical(
                        "the read model is damaged (%s); kept as %s, and built anew next time", error, kept
                    )
                    raise
                if loop.time() > deadline:
                    raise
                if self.trouble is None:
                    log.error("the read model cannot be written (%s): make room on its disk", error)  # noqa: TRY400
                self.trouble = f"the read model cannot be written: {error}"
            await asyncio.sleep(_WRITE_RETRY_SECONDS)
        if self.trouble is not None:
            log.info("the read model can be written again")
            self.trouble = None
        if self._read_model.set_aside_count > before:
            for record in reversed(self._read_model.set_aside(self._read_model.set_aside_count - before)):
                log.warning("record %d on %s set aside: %s", record.seq, record.subject[:200], record.why)

    async def _guard(self) -> None:
        """After every reconnection, and every few seconds, look whether the log went back."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GUARD_SECONDS):
                    await self._suspicious.wait()
            await self._until_checked()

    async def _until_checked(self) -> None:
        """Check the log; while the broker cannot answer (it is starting, say), try again for a while."""
        deadline = asyncio.get_running_loop().time() + _CHECK_GIVE_UP_SECONDS
        while True:
            try:
                return await self._check_log()
            except LogMismatch:
                raise
            except Exception as error:
                log.debug("the log could not be checked: %s", error)
                if asyncio.get_running_loop().time() > deadline and self._bus.connected:
                    raise Unavailable(
                        f"the broker is there, but the log {LOG_STREAM} could not be read for "
                        f"{_CHECK_GIVE_UP_SECONDS:g} s ({error}): if it is gone, put its backup back"
                    ) from error
            await asyncio.sleep(_CHECK_RETRY_SECONDS)

    async def _check_log(self) -> None:
        """Refuse a log that ends before the position, or holds another record at the position."""
        position, mark = self._read_model.position, self._read_model.mark
        if position > 0:
            last_seq = await self._bus.last_seq(LOG_STREAM)
            self._refuse_shorter(last_seq, position)
            if digest(await self._payload_at(position)) != mark:
                raise LogMismatch(
                    f"the log holds another record at position {position} than the one the read model was folded from: "
                    f"this is another log, or it was restored from a backup and went on differently. Put the right log "
                    f"back; or, if this one is right, remove {self._read_model.path} to fold it anew"
                )
        self._suspicious.clear()

    def _refuse_shorter(self, last_seq: int, position: int) -> None:
        if last_seq < position:
            raise LogMismatch(
                f"the log ends at {last_seq}, but the read model was folded up to {position}: the log was restored "
                f"from an older backup, or it is another one. Put the right log back; or, if this one is right, "
                f"remove {self._read_model.path} to fold it anew"
            )

    async def _payload_at(self, position: int) -> bytes:
        reader = self._bus.read_log(start_seq=position)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                async for batch in reader:
                    return batch[0].payload if batch[0].seq == position else b""
        except TimeoutError:
            raise Unavailable(
                f"the broker did not hand over record {position} within {_CHECK_SECONDS:g} s"
            ) from None
        finally:
            await reader.close()
        return b""
