"""The dead man's switch of a shim: ends a tree whose lease is over, for an agent that cannot do it any more.

An agent that is cut off from the broker ends its runs itself, in good order. One that was killed, or hangs, cannot; its
shims live on, and they know from a file when the agent last reached the broker. Made by the reaper for an attempt that
has a lease. Standard library alone.
"""

import contextlib
import os
import signal
import time
from typing import Any

from agent.process.kernel import boot_id, read_head, read_stat

_LATE_SECONDS = 1.0
"""The agent goes first, so that what is told of the end is the agent's."""
_AGAIN_SECONDS = 0.5
_LONGEST_SLEEP_SECONDS = 3600.0


class DeadMan:
    """``over``: the lease was over and the tree was struck, or asked to end.

    ``lease``: ``file`` (where the agent writes when it last had contact, in seconds since boot), ``seconds`` (after so
    many without contact the main process is asked to end, if no agent is there), ``hard_seconds`` (after so many the
    tree is killed, whoever is there), ``signal`` (its number).
    """

    def __init__(self, lease: dict[str, Any], main: int, cgroup: str | None) -> None:
        self._lease = lease
        self._main = main
        self._cgroup = cgroup
        self._began = _now()
        self.over = False
        self._asked = False

    def look(self, *, is_attended: bool) -> int:
        """Do what is due; milliseconds until it has to be looked at again. ``is_attended``: an agent is connected."""
        gone = _now() - self._contact()
        soft, hard = float(self._lease["seconds"]), float(self._lease["hard_seconds"]) + _LATE_SECONDS
        if gone >= hard:
            self.over = True
            self._strike()
            return int(_AGAIN_SECONDS * 1000)
        if gone >= soft and not is_attended and not self._asked:
            self.over = self._asked = True
            with contextlib.suppress(OSError):
                os.kill(self._main, int(self._lease["signal"]))
                os.kill(self._main, signal.SIGCONT)
        due = soft if gone < soft else hard
        return int(min(_LONGEST_SLEEP_SECONDS, due - gone) * 1000) + 1

    def _contact(self) -> float:
        """When the agent last reached the broker; where that cannot be read, when this attempt began."""
        boot, _, moment = read_head(self._lease["file"]).partition(b" ")
        try:
            return float(moment) if boot.decode() == boot_id() else self._began
        except ValueError:
            return self._began

    def _strike(self) -> None:
        """Kill everything of the tree that can be seen; the reaper sees what is left."""
        if self._cgroup is not None:
            for name, value in (("cgroup.kill", b"1"), ("freezer.state", b"THAWED")):
                with contextlib.suppress(OSError):
                    file = os.open(f"{self._cgroup}/{name}", os.O_WRONLY | os.O_CLOEXEC)
                    try:
                        os.write(file, value)
                    finally:
                        os.close(file)
        below = _below(os.getpid())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)


def _below(ancestor: int) -> list[int]:
    """Every process below this one: its own, for what loses its parent becomes its child."""
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is memory in every shim
        if name.isdigit() and (stat := read_stat(int(name))) is not None:
            parents[int(name)] = stat.ppid
    found: list[int] = []
    level = {ancestor}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.extend(level)
    return found


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
