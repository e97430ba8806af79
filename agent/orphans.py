"""Processes on this host that carry the mark of a run of this home: listed, and ended on demand. Run as a program.

    python -m agent.orphans list
    python -m agent.orphans end RUN_ID...

One JSON document on standard output. Rules: it needs neither the agent nor the control plane, so it cannot know which
runs are open: whoever calls it asks that first. A process belongs to a run by its cgroup below this home's, or by the
environment it was started with. Nothing is signalled by a bare pid: a pidfd is opened and the process looked at again.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agent.process import procfs
from agent.process.cgroup import Cgroup, CgroupRoot, namespace_of
from agent.process.freezer import FreezerCgroup, FreezerRoot
from agent.process.identity import ProcessIdentity, current_boot, is_alive, open_pidfd, send_signal
from agent.process.kernel import read_head, read_stat
from runplane.contract.ids import is_run_id

_END_SECONDS = 5.0
_LOOK_MILLISECONDS = 200
_MARK = b"RUNPLANE_DIR="


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """A live process of a run. ``start_time`` in clock ticks since boot; ``by``: what it was found by."""

    pid: int
    start_time: int
    run_id: str
    attempt: int
    cmdline: str
    rss_bytes: int
    by: Literal["cgroup", "environment"]

    @property
    def identity(self) -> ProcessIdentity:
        """Beyond doubt."""
        return ProcessIdentity(boot_id=current_boot(), pid=self.pid, start_time=self.start_time)


def marked(agent_home: Path) -> list[Marked]:
    """Every live process that a run of this home has started, by pid."""
    runs = agent_home / "runs"
    found: dict[int, tuple[str, Literal["cgroup", "environment"]]] = {}
    for name, group in _groups(agent_home):
        found |= dict.fromkeys(group.members(), (name, "cgroup"))
    for pid in procfs.pids():
        tag = None if pid in found else _named_by_environment(pid, runs)
        if tag is not None:
            found[pid] = (tag, "environment")
    found.pop(os.getpid(), None)
    known = [_looked_at(pid, name, by) for pid, (name, by) in sorted(found.items())]
    return [one for one in known if one is not None]


def end(agent_home: Path, run_ids: Iterable[str]) -> tuple[list[Marked], list[Marked]]:
    """End every process of these runs; ``(ended, still there)``. At most a few seconds."""
    wanted = set(run_ids)
    seen: dict[tuple[int, int], Marked] = {}
    until = time.monotonic() + _END_SECONDS
    while True:
        left = [one for one in marked(agent_home) if one.run_id in wanted]
        if not left or time.monotonic() > until:
            break
        seen |= {(one.pid, one.start_time): one for one in left}
        for name, group in _groups(agent_home):
            if name.rpartition(".")[0] in wanted:
                group.kill()
        _kill(left)
    for name, group in _groups(agent_home):
        if name.rpartition(".")[0] in wanted:
            group.remove()
    alive = [one for one in seen.values() if is_alive(one.identity)]
    return [one for one in seen.values() if one not in alive], alive


def _kill(processes: Iterable[Marked]) -> None:
    """SIGKILL, and a moment for the kernel to be done with it."""
    pidfds = [pidfd for one in processes if (pidfd := open_pidfd(one.identity)) is not None]
    watch = select.poll()
    try:
        for pidfd in pidfds:
            try:
                send_signal(pidfd, signal.SIGKILL)
            except PermissionError:
                continue
            watch.register(pidfd, select.POLLIN)
        watch.poll(_LOOK_MILLISECONDS)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def _groups(agent_home: Path) -> list[tuple[str, Cgroup]]:
    """The cgroups of this home's attempts, by ``RUN_ID.ATTEMPT``."""
    namespace = namespace_of(agent_home)
    unified, frozen = CgroupRoot.find(namespace), FreezerRoot.find(namespace)
    found: list[tuple[str, Cgroup]] = []
    if unified is not None and unified.path.is_dir():
        found += [(place.name, Cgroup(place)) for place in unified.path.iterdir() if place.is_dir()]
    if frozen is not None and frozen.path.is_dir():
        found += [(place.name, FreezerCgroup(place)) for place in frozen.path.iterdir() if place.is_dir()]
    return found


def _named_by_environment(pid: int, runs: Path) -> str | None:
    """``RUN_ID.ATTEMPT`` where the process was started with the directory of such an attempt."""
    for entry in read_head(f"/proc/{pid}/environ", procfs.ENVIRON_BYTES).split(b"\0"):
        if entry.startswith(_MARK):
            directory = Path(os.fsdecode(entry[len(_MARK) :]))
            if directory.parent.parent == runs and is_run_id(directory.parent.name):
                return f"{directory.parent.name}.{directory.name}"
    return None


def _looked_at(pid: int, name: str, by: Literal["cgroup", "environment"]) -> Marked | None:
    run_id, _, attempt = name.rpartition(".")
    stat = read_stat(pid)
    facts = procfs.facts(stat) if stat is not None else None
    if facts is None or not is_run_id(run_id) or not attempt.isdigit():
        return None
    return Marked(
        pid=pid,
        start_time=facts.start_time,
        run_id=run_id,
        attempt=int(attempt),
        cmdline=facts.cmdline[:1024],
        rss_bytes=facts.rss_bytes,
        by=by,
    )


def main(arguments: list[str]) -> int:
    """See the head of the module; 2 for other arguments."""
    agent_home = Path(os.environ["RUNPLANE_HOME"]).expanduser().absolute() / "agent"
    match arguments:
        case ["list"]:
            found = marked(agent_home)
            print(json.dumps({"processes": [asdict(one) for one in found]}))  # noqa: T201 — its answer
        case ["end", *run_ids] if run_ids and all(map(is_run_id, run_ids)):
            ended, alive = end(agent_home, run_ids)
            answer = {"ended": [asdict(one) for one in ended], "alive": [asdict(one) for one in alive]}
            print(json.dumps(answer))  # noqa: T201
        case _:
            print("usage: python -m agent.orphans list | end RUN_ID...", file=sys.stderr)  # noqa: T201
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
