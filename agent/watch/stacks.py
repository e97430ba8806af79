"""The stacks of Python processes, by py-spy: what each thread is in, at this moment.

Called by the diagnosis, in a thread of its own. Rules: the process is read and not stopped; only where it moves too
fast to be read so, it is held for the few milliseconds that one reading takes. No local variables are read. Every look
has a limit in time, and there is one for all of them.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from agent.process.kernel import read_head
from runplane.contract.diagnosis import Frame

MOST_PROCESSES = 16
MOST_FRAMES = 40
_SECONDS = 3.0
_ALL_SECONDS = 8.0
_AT_ONCE = 4
_TRIES = 3
_MAPS_BYTES = 1 << 20
_FOREIGN = ("/site-packages/", "/dist-packages/", "/lib/python", "/lib64/python", "/runplane/sdk/")


@dataclass(kw_only=True, slots=True)
class Stack:
    """Of one thread, innermost call first. ``name``: the one that the program gave the thread."""

    frames: tuple[Frame, ...]
    name: str = ""


@dataclass(kw_only=True, slots=True)
class Stacks:
    """``by_thread``: by the kernel's thread id. ``problems``: by process, why there is none."""

    by_thread: dict[int, Stack] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)


def look(pids: Iterable[int]) -> Stacks:
    """The stacks of those of the processes that run Python."""
    found = Stacks()
    python = [pid for pid in pids if _runs_python(pid)]
    for pid in python[MOST_PROCESSES:]:
        found.problems[pid] = f"its stack was not read: {MOST_PROCESSES} processes were before it"
    spy = _spy()
    if spy is None:
        found.problems |= dict.fromkeys(
            python, "its stack was not read: py-spy is not installed beside the agent"
        )
        return found
    end = time.monotonic() + _ALL_SECONDS
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stacks") as threads:
        looks = threads.map(lambda pid: (pid, _stacks_of(spy, pid, end)), python[:MOST_PROCESSES])
        for pid, seen in looks:
            if isinstance(seen, str):
                found.problems[pid] = seen
            else:
                found.by_thread |= seen
    return found


@cache
def _spy() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _runs_python(pid: int) -> bool:
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False
    return program.startswith(("python", "pypy")) or b"/libpython" in read_head(
        f"/proc/{pid}/maps", _MAPS_BYTES
    )


def _stacks_of(spy: str, pid: int, end: float) -> dict[int, Stack] | str:
    """By thread; or why not."""
    why = ""
    for number in range(_TRIES):
        seconds = min(_SECONDS, end - time.monotonic())
        if seconds <= 0:
            return why or "its stack was not read: the time for that was over"
        # Reading a process that moves can fail; what stands still, as a stuck one does, is read at the first try.
        command = [spy, "dump", "--json", "--full-filenames", "--pid", str(pid)]
        if number < _TRIES - 1:
            command.append("--nonblocking")
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"its stack was not read: py-spy did not answer within {seconds:.0f} s"
        except OSError as error:
            return f"its stack was not read: {error.strerror or error}"
        if done.returncode == 0:
            try:
                return _parsed(json.loads(done.stdout))
            except (ValueError, KeyError, TypeError):
                why = "its stack was not read: py-spy's answer was not understood"
                continue
        why = _why(done.stderr.decode("utf-8", "replace"))
    return why


def _why(said: str) -> str:
    first = next((line for line in said.splitlines() if line.strip()), "no reason was given").strip()
    if "ermission" in said or "EPERM" in said:
        return "its stack may not be read by the agent's user: run the agent as root, or set kernel.yama.ptrace_scope=0"
    return f"its stack was not read: {first.removeprefix('Error: ')[:200]}"


def _parsed(threads: list[dict[str, Any]]) -> dict[int, Stack]:
    return {
        int(thread["os_thread_id"]): Stack(
            frames=tuple(_frame(frame) for frame in thread["frames"][:MOST_FRAMES]),
            name=str(thread.get("thread_name") or "")[:80],
        )
        for thread in threads
        if thread.get("os_thread_id")
    }


def _frame(frame: dict[str, Any]) -> Frame:
    file = str(frame["filename"])
    own = not file.startswith("<") and not any(part in file for part in _FOREIGN)
    return Frame(function=str(frame["name"])[:200], file=file[-400:], line=int(frame["line"]), own=own)
