"""The sampler: CPU, memory, processes, threads, files and I/O of whole process trees, from ``/proc``.

CPU is the share of one core since the sample before, over the processes there at both moments. Reading is bounded: at
most :data:`MOST_PROCESSES` a tree are looked into, the others are counted.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from runplane.contract.run import Resources
from runplane.stamp import now

MOST_PROCESSES = 512
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class _Seen:
    start_time: int
    ticks: int
    threads: int
    rss_bytes: int


class TreeSampler:
    """Samples one tree; keeps what the next sample is measured against."""

    def __init__(self) -> None:
        """No sample yet: the first one has no CPU share."""
        self._before: dict[int, _Seen] = {}
        self._at = 0.0

    def sample(self, pids: Iterable[int]) -> Resources | None:
        """The tree as it is now; None when no process of it is left."""
        found = list(pids)
        seen = {pid: facts for pid in found[:MOST_PROCESSES] if (facts := _look(pid)) is not None}
        if not seen:
            return None
        moment = time.monotonic()
        spent = sum(
            facts.ticks - (self._before[pid].ticks if self._same(pid, facts) else 0)
            for pid, facts in seen.items()
            if self._same(pid, facts) or self._before
        )
        elapsed = moment - self._at
        percent = 100.0 * spent / _TICKS / elapsed if self._before and elapsed > 0 else 0.0
        self._before, self._at = seen, moment
        read_bytes, write_bytes = _io(seen)
        return Resources(
            cpu_percent=round(max(0.0, percent), 1),
            rss_bytes=sum(facts.rss_bytes for facts in seen.values()),
            processes=len(found),
            threads=sum(facts.threads for facts in seen.values()),
            open_files=sum(_open_files(pid) for pid in seen),
            io_read_bytes=read_bytes,
            io_write_bytes=write_bytes,
            sampled_at=now(),
        )

    def _same(self, pid: int, facts: _Seen) -> bool:
        before = self._before.get(pid)
        return before is not None and before.start_time == facts.start_time


def _look(pid: int) -> _Seen | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 — a Path costs more than the read
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return _Seen(
        start_time=int(fields[19]),
        ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        rss_bytes=int(fields[21]) * _PAGE,
    )


def _io(pids: Iterable[int]) -> tuple[int, int]:
    read_bytes = write_bytes = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io", "rb") as file:  # noqa: PTH123
                lines = dict(line.split(b": ") for line in file.read().splitlines())
        except (OSError, ValueError):
            continue
        read_bytes += int(lines.get(b"read_bytes", 0))
        write_bytes += int(lines.get(b"write_bytes", 0))
    return read_bytes, write_bytes


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return 0
