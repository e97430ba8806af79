"""What the kernel says of processes, read with the standard library alone.

Rules: shared by the agent and by the resident shims, so it imports next to nothing. A process that is gone is
``None``, never an exception. Times of processes are clock ticks since boot, as the kernel gives them.
"""

import os
import signal
import time
from typing import NamedTuple

ZOMBIE_STATES = frozenset("ZXx")
_HEAD = 4096


class Stat(NamedTuple):
    """One line of ``/proc/PID/stat``: what we use of it. ``state`` is the kernel's letter (R S D T t Z X).

    ``wait_status``: of a zombie; 0 also where the kernel does not tell us.
    """

    pid: int
    name: str
    state: str
    ppid: int
    session: int
    start_time: int
    rss_pages: int
    arg_start: int
    arg_end: int
    wait_status: int


def read_stat(pid: int) -> Stat | None:
    """The process as it is now, zombies included; ``None`` when no process has this pid."""
    raw = read_head(f"/proc/{pid}/stat")
    if not raw:
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses: the last one closes it.
    opening, closing = raw.index(b"("), raw.rindex(b")")
    fields = raw[closing + 2 :].split()
    return Stat(
        pid=pid,
        name=raw[opening + 1 : closing].decode("utf-8", "replace"),
        state=fields[0].decode(),
        ppid=int(fields[1]),
        session=int(fields[3]),
        start_time=int(fields[19]),
        rss_pages=int(fields[21]),
        arg_start=int(fields[45]),
        arg_end=int(fields[46]),
        wait_status=int(fields[49]),
    )


def seconds_since(start_time: int) -> float:
    """How long ago a process with this start time was started, by a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_time / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """The identity of this boot of the machine."""
    return read_head("/proc/sys/kernel/random/boot_id").decode().strip()


def fork_count() -> int:
    """How many tasks were created since boot: a bound on how far the pid counter can have run."""
    with open("/proc/stat", "rb") as stat:  # noqa: PTH123 - pathlib is memory in every shim
        for line in stat:
            if line.startswith(b"processes "):
                return int(line.split()[1])
    return 0


def pid_limit() -> int:
    """Pids are given out in rising order and start again here."""
    return int(read_head("/proc/sys/kernel/pid_max") or b"32768")


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; real-time signals have numbers only (``SIG40``)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def iso_now() -> str:
    """This moment in UTC with microseconds, as all records say it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}Z"


def read_head(path: str, size: int = _HEAD) -> bytes:
    """The first bytes of a file of ``/proc``; empty when it is gone or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    content = b""
    try:
        # Some files of /proc and of cgroups give a page at a time, however much is asked for.
        while len(content) < size and (chunk := os.read(descriptor, size - len(content))):
            content += chunk
        return content
    except OSError:
        return content
    finally:
        os.close(descriptor)
