"""What the agent reads of processes in ``/proc``: kinship, command lines, memory.

Rules: every answer is a look at one moment; a process that is gone by then is left out. Reads are bounded.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterable

from agent.process.kernel import ZOMBIE_STATES, Stat, read_head, read_stat
from agent.process.records import ProcessFacts

CMDLINE_BYTES = 4096
ENVIRON_BYTES = 1 << 20
_CHILDREN_BYTES = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


def pids() -> list[int]:
    """Every process that ``/proc`` shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - only names, many of them


def table() -> dict[int, Stat]:
    """Every process, zombies included, by pid."""
    return {pid: stat for pid in pids() if (stat := read_stat(pid))}


def descendants(ancestor: int) -> dict[int, Stat]:
    """Every process below ``ancestor``, zombies included. One that is born meanwhile may be missed: look again."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # noqa: PTH110 - a hot path
        return _descendants_by_table(ancestor)
    found: dict[int, Stat] = {}
    todo = deque([ancestor])
    while todo:
        for child in _children(todo.popleft()):
            if child not in found and (stat := read_stat(child)):
                found[child] = stat
                todo.append(child)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - only names
            children += map(int, read_head(f"/proc/{pid}/task/{task}/children", _CHILDREN_BYTES).split())
    return children


def _descendants_by_table(ancestor: int) -> dict[int, Stat]:
    everyone = table()
    found: dict[int, Stat] = {}
    level = {ancestor}
    while level:
        level = {pid for pid, stat in everyone.items() if stat.ppid in level and pid not in found}
        found |= {pid: everyone[pid] for pid in level}
    return found


def has_environment(pid: int, tags: Iterable[bytes]) -> bool:
    """Whether the process was started with every one of these ``NAME=value``."""
    entries = read_head(f"/proc/{pid}/environ", ENVIRON_BYTES).split(b"\0")
    return all(tag in entries for tag in tags)


def facts(stat: Stat) -> ProcessFacts | None:
    """What receipts and views say of a live process; ``None`` for a zombie."""
    if stat.state in ZOMBIE_STATES:
        return None
    raw = read_head(f"/proc/{stat.pid}/cmdline", CMDLINE_BYTES)
    cmdline = raw.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return ProcessFacts(
        pid=stat.pid,
        start_time=stat.start_time,
        ppid=stat.ppid,
        cmdline=cmdline or f"[{stat.name}]",
        state=stat.state,
        rss_bytes=stat.rss_pages * _PAGE,
        name=stat.name,
    )


def why_alive(pid: int) -> str:
    """Why a process that was sent SIGKILL is still there: its state, and where in the kernel it waits."""
    stat = read_stat(pid)
    if stat is None:
        return "gone meanwhile"
    words = {"D": "uninterruptible sleep", "T": "stopped", "t": "traced", "R": "running", "S": "sleeping"}
    place = read_head(f"/proc/{pid}/wchan").decode("utf-8", "replace").strip()
    waiting = f" in the kernel's {place}" if place and place != "0" else ""
    return f"state {stat.state} ({words.get(stat.state, 'unknown')}){waiting}; it has not taken SIGKILL"
