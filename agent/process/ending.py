"""How the main process ended: learned from the shim, from ``exit.json``, or, when the shim is dead, from the kernel.

Rules: the first ending that is known stays. The shim is watched by pidfd, so its death is noticed at once; while the
agent is connected to it, it says the exit itself. Without a connection the main process is watched as well. When
nobody could see how it ended, ``ended`` is set and ``exit`` stays ``None``.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from agent.process.errors import TornFile
from agent.process.identity import current_boot, open_pidfd, wait_status_of
from agent.process.kernel import ZOMBIE_STATES, iso_now, read_stat
from agent.process.records import ExitRecord, exit_from_wait_status
from agent.process.run_directory import ProcessRecord, RunDirectory
from agent.process.shim_link import ShimLink

_TRIES = 250
_TRY_SECONDS = 0.02


class Ending:
    """Follows one attempt's main process and shim to their ends.

    ``counted_out``: the shim itself saw that it had no child left. ``reaped``: how orphans ended, by pid.
    """

    def __init__(self, files: RunDirectory, record: ProcessRecord, link: ShimLink | None) -> None:
        """Nothing is watched before ``follow``."""
        self.exit: ExitRecord | None = None
        self.ended = asyncio.Event()
        self.shim_over = asyncio.Event()
        self.counted_out = False
        self.reaped: dict[int, str] = {}
        self._files = files
        self._record = record
        self._link = link
        self._shim_over_callback: Callable[[], None] = lambda: None
        self._shim_pidfd: int | None = None
        self._main_pidfd: int | None = None
        self._retry: asyncio.TimerHandle | None = None

    def follow(self, when_shim_is_over: Callable[[], None]) -> None:
        """Start. The callback comes once: the shim has counted all out, or it is no more."""
        self._shim_over_callback = when_shim_is_over
        if self._record.main.boot_id != current_boot():
            self._shim_ended()
            self.ended.set()
            return
        self._shim_pidfd = open_pidfd(self._record.shim)
        if self._shim_pidfd is None:
            self._shim_ended()
            return
        if self._take_file() and self.counted_out:
            self._shim_over_callback()
        asyncio.get_running_loop().add_reader(self._shim_pidfd, self._shim_ended)
        if self._link is None:
            self._watch_main()
        else:
            self._link.listen(self._hear)

    def learn(self, raw: dict[str, Any] | None) -> None:
        """Take the content of an ``exit.json`` that the shim told of."""
        if raw is not None:
            self._take(self._files.parse_exit(raw))

    def asked(self) -> bool:
        """Whether an agent had asked the main process to end."""
        return self._files.asked.exists()

    def note_asked(self, how: dict[str, Any]) -> None:
        """Note that it is about to be asked. On a full disk only an agent's death right now would tell it wrongly."""
        with contextlib.suppress(OSError):
            self._files.note_asked(how)

    def read_record(self) -> None:
        """Take what the shim left on disk, where its word was not heard."""
        self._take_file()

    def close(self) -> None:
        """Watch no more; leaves no descriptor open."""
        self._close_shim()
        self._close_main()
        if self._retry is not None:
            self._retry.cancel()

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"event": "exit", "exit": dict(raw)}:
                self.learn(raw)
            case {"event": "gone", "reaped": list(reaped)}:
                self.reaped = {pid: name or f"exit {code}" for pid, code, name in reaped}
                self.counted_out = True
                self._shim_over_callback()
            case {"event": "lost"} if not self.ended.is_set():
                self._watch_main()

    def _shim_ended(self) -> None:
        self._close_shim()
        self.shim_over.set()
        if not self._take_file() and not self.ended.is_set() and self._record.main.boot_id == current_boot():
            self._watch_main()
        self._shim_over_callback()

    def _watch_main(self) -> None:
        if self.ended.is_set():
            return
        if self._main_pidfd is None:
            self._main_pidfd = open_pidfd(self._record.main)
        if self._main_pidfd is None:
            self._main_over(_TRIES)
        else:
            asyncio.get_running_loop().add_reader(self._main_pidfd, self._main_over, _TRIES)

    def _main_over(self, tries: int) -> None:
        """The main process has ended: its record, or its status, is there within a moment, or never."""
        loop = asyncio.get_running_loop()
        if self._main_pidfd is not None:
            loop.remove_reader(self._main_pidfd)
        if self._retry is not None:
            self._retry.cancel()
        record = self._read() or self._status_from_kernel()
        if record is not None:
            self._take(record)
        elif self.shim_over.is_set() and (tries == 0 or self._main_pidfd is None):
            self.ended.set()
            self._close_main()
        elif tries:
            self._retry = loop.call_later(_TRY_SECONDS, self._main_over, tries - 1)

    def _status_from_kernel(self) -> ExitRecord | None:
        """With the shim dead it is init that reaps; newer kernels tell the status of whoever was reaped."""
        if not self.shim_over.is_set() or self._main_pidfd is None:
            return None
        main = self._record.main
        stat = read_stat(main.pid)
        if stat is not None and stat.start_time == main.start_time and stat.state in ZOMBIE_STATES:
            status = stat.wait_status or None  # init has not reaped it yet
        else:
            status = wait_status_of(self._main_pidfd)
        if status is None:
            return None
        code, name = exit_from_wait_status(status)
        record = ExitRecord(code=code, signal=name, rusage=None, exited_at=iso_now())
        with contextlib.suppress(OSError):
            self._files.write_exit(record)
        return record

    def _take_file(self) -> bool:
        """Take what ``exit.json`` says, if it is there."""
        record = self._read()
        if record is not None:
            self._take(record)
            self.counted_out = self.counted_out or record.empty_at is not None
        return record is not None

    def _take(self, record: ExitRecord) -> None:
        self.exit = record
        self.ended.set()
        self._close_main()

    def _read(self) -> ExitRecord | None:
        try:
            return self._files.read_exit()
        except TornFile:
            return None

    def _close_shim(self) -> None:
        pidfd, self._shim_pidfd = self._shim_pidfd, None
        _close(pidfd)

    def _close_main(self) -> None:
        pidfd, self._main_pidfd = self._main_pidfd, None
        _close(pidfd)


def _close(pidfd: int | None) -> None:
    if pidfd is not None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
