"""The sampler: CPU, memory, processes, threads, files and I/O of whole process trees, from ``/proc``.

CPU is the share of one core since the sample before, over the processes there at both moments. Reading is bounded: at
most :data:`MOST_PROCESSES` a tree are looked into, the others are counted.
"""

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from runplane.contract.run import Resources
from runplane.stamp import now

MOST_PROCESSES = 512
SELDOM_SECONDS = 20.0
"""How often what is expensive is read: the kernel walks all pages of a process for its PSS."""
_MOST_FILES = 1024
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class SeenProcess:
    """One process of a tree at the moment of a sample. ``ticks``: of CPU, so far; ``state``: the kernel's letter."""

    pid: int
    name: str
    state: str
    ppid: int
    start_time: int
    ticks: int
    threads: int
    rss_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSample:
    """A tree at one moment. ``cpu_seconds``: spent in the ``elapsed`` seconds since the sample before."""

    resources: Resources
    processes: tuple[SeenProcess, ...]
    cpu_seconds: float
    elapsed: float

    @property
    def is_stopped(self) -> bool:
        """Whether every process of it stands still."""
        return all(one.state in "Tt" for one in self.processes)


class TreeSampler:
    """Samples one tree; keeps what the next sample is measured against."""

    def __init__(self) -> None:
        """No sample yet: the first one has no CPU share."""
        self._before: dict[int, SeenProcess] = {}
        self._at = 0.0
        self._seldom_at = -math.inf
        self._pss: int | None = None
        self._sockets: int | None = None

    def sample(self, pids: Iterable[int]) -> TreeSample | None:
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
        cpu_seconds = max(0.0, spent / _TICKS) if self._before else 0.0
        elapsed = elapsed if self._before else 0.0
        self._before, self._at = seen, moment
        if moment - self._seldom_at >= SELDOM_SECONDS:
            self._seldom_at = moment
            self._pss, self._sockets = _pss(seen), _socket_count(seen)
        read_bytes, write_bytes = _io(seen)
        resources = Resources(
            cpu_percent=round(100.0 * cpu_seconds / elapsed, 1) if elapsed > 0 else 0.0,
            rss_bytes=sum(facts.rss_bytes for facts in seen.values()),
            processes=len(found),
            threads=sum(facts.threads for facts in seen.values()),
            open_files=sum(_open_files(pid) for pid in seen),
            io_read_bytes=read_bytes,
            io_write_bytes=write_bytes,
            pss_bytes=self._pss,
            sockets=self._sockets,
            sampled_at=now(),
        )
        return TreeSample(
            resources=resources, processes=tuple(seen.values()), cpu_seconds=cpu_seconds, elapsed=elapsed
        )

    def _same(self, pid: int, facts: SeenProcess) -> bool:
        before = self._before.get(pid)
        return before is not None and before.start_time == facts.start_time


def _look(pid: int) -> SeenProcess | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 — a Path costs more than the read
            content = file.read()
    except OSError:
        return None
    head, _, rest = content.rpartition(b") ")
    fields = rest.split()
    if fields[0] in (b"Z", b"X"):
        return None
    return SeenProcess(
        pid=pid,
        name=head.partition(b"(")[2].decode("utf-8", "replace"),
        state=fields[0].decode(),
        ppid=int(fields[1]),
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


def _pss(pids: Iterable[int]) -> int | None:
    """None where one of them may not be looked into: a part would pass for the whole."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
                content = file.read()
        except ProcessLookupError:
            continue  # it has ended
        except OSError:
            return None
        for line in content.splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024
                break
    return total


def _socket_count(pids: Iterable[int]) -> int | None:
    count = 0
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")[:_MOST_FILES]  # noqa: PTH208
        except FileNotFoundError:
            continue
        except OSError:
            return None
        count += sum(_is_socket(pid, name) for name in names)
    return count


def _is_socket(pid: int, name: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")  # noqa: PTH115
    except OSError:
        return False
