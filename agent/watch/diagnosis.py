"""What the processes of a tree do, hold and wait for, seen at one moment and written down for people.

Called by the hall's diagnosing, in a thread of its own: reading many processes takes a while. Nothing is stopped,
nothing is touched, everything has a bound; what is left out or may not be seen is said. Whatever a process chose itself
(command lines, file names, output) goes through ``mask`` before it is told.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agent.process.records import ProcessFacts
from agent.watch import descriptors, stacks, waits
from agent.watch.sockets import Connection, connections, unix_peers
from runplane.contract.diagnosis import SeenFile, SeenProcess, SeenSocket, SeenThread
from runplane.contract.text import without_control_sequences
from runplane.stamp import now

MOST_PROCESSES = 64
MOST_THREADS = 16
MOST_FILES = 24
MOST_SOCKETS = 24
MOST_LINES = 40
_LINE = 400
_CMDLINE = 400
_TAIL_BYTES = 32 << 10
_TICKS = os.sysconf("SC_CLK_TCK")
_STATES = {
    "R": "running", "S": "sleeping", "D": "uninterruptible sleep", "T": "stopped", "t": "traced", "Z": "zombie",
    "I": "idle", "X": "dead",
}  # fmt: skip

Mask = Callable[[str], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen. ``unseen``: what was not, and why, in sentences."""

    processes: tuple[SeenProcess, ...]
    waits: tuple[waits.ThreadWait, ...]
    unseen: tuple[str, ...]


def look(members: Sequence[ProcessFacts], *, main: int, mask: Mask) -> Look:
    """Look at these processes. ``main``: the pid of the attempt's first one, which comes first."""
    chosen = sorted(members, key=lambda facts: (facts.pid != main, facts.start_time, facts.pid))[
        :MOST_PROCESSES
    ]
    unseen = []
    if len(members) > len(chosen):
        unseen.append(f"{len(members) - len(chosen)} more processes were not looked at")
    pids = [facts.pid for facts in chosen]
    found = stacks.look(pids)
    waiting = waits.look(pids)
    open_sockets = _Sockets(mask)
    processes = tuple(
        _process(
            facts,
            threads=[_thread(wait, found, mask) for wait in waiting if wait.pid == facts.pid],
            open_sockets=open_sockets,
            is_main=facts.pid == main,
            mask=mask,
        )
        for facts in chosen
    )
    unseen += [f"process {pid}: {why}" for pid, why in found.problems.items()]
    unseen += [
        f"process {facts.pid}: what it has open may not be seen by the agent's user"
        for facts in chosen
        if not os.access(f"/proc/{facts.pid}/fd", os.R_OK)
    ]
    return Look(processes=processes, waits=tuple(waiting), unseen=tuple(unseen))


def last_lines(path: Path, mask: Mask) -> tuple[str, ...]:
    """The last lines of a stream of output, oldest first, as text."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            content = file.read(_TAIL_BYTES)
    except OSError:
        return ()
    text = without_control_sequences(content.decode("utf-8", "replace"))
    # Masked as a whole: a secret may be long enough to be cut in two by what follows.
    lines = [line.rstrip()[:_LINE] for line in mask(text).split("\n")]
    return tuple(line for line in lines if line)[-MOST_LINES:]


def _process(
    facts: ProcessFacts, *, threads: list[SeenThread], open_sockets: "_Sockets", is_main: bool, mask: Mask
) -> SeenProcess:
    sockets, files = open_sockets.of(facts.pid)
    return SeenProcess(
        pid=facts.pid,
        parent_pid=facts.ppid,
        name=_text(facts.name),
        cmdline=mask(_text(facts.cmdline))[:_CMDLINE],
        state=facts.state,
        state_name=_STATES.get(facts.state, "unknown"),
        main=is_main,
        rss_bytes=facts.rss_bytes,
        cpu_seconds=_cpu_seconds(facts.pid),
        threads=tuple(threads[:MOST_THREADS]),
        sockets=sockets,
        files=files,
    )


def _thread(wait: waits.ThreadWait, found: stacks.Stacks, mask: Mask) -> SeenThread:
    stack = found.by_thread.get(wait.tid, stacks.Stack(frames=()))
    return SeenThread(
        tid=wait.tid,
        name=mask(_text(stack.name or wait.name)),
        state=wait.state,
        waits_for=wait.kind,
        call=wait.call,
        place=wait.place,
        on=mask(_text(wait.on)),
        peer=wait.connection.peer if wait.connection is not None else None,
        stack=stack.frames,
    )


class _Sockets:
    """The descriptors of processes. The kernel's lists are asked for once a network, when a first socket is met."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._lists: dict[str, tuple[dict[int, Connection], dict[int, tuple[int, str]]]] = {}

    def of(self, pid: int) -> tuple[tuple[SeenSocket, ...], tuple[SeenFile, ...]]:
        sockets: list[SeenSocket] = []
        files: list[SeenFile] = []
        for fd in sorted(int(name) for name in descriptors.names(pid)):
            target = descriptors.target(pid, fd)
            if target.startswith("socket:[") and len(sockets) < MOST_SOCKETS:
                sockets.append(self._socket(pid, fd, int(target[len("socket:[") : -1])))
            elif target and not target.startswith("socket:[") and len(files) < MOST_FILES:
                files.append(SeenFile(fd=fd, target=self._mask(_text(target))[:_LINE]))
        return tuple(sockets), tuple(files)

    def _socket(self, pid: int, fd: int, inode: int) -> SeenSocket:
        tcp, unix = self._of_network(pid)
        found = tcp.get(inode)
        if found is not None:
            heard = timedelta(seconds=found.quiet_seconds) if found.quiet_seconds is not None else None
            return SeenSocket(
                fd=fd,
                protocol="tcp",
                state=found.state,
                local=found.local,
                peer=found.peer,
                received_at=now() - heard if heard is not None else None,
                receive_queue_bytes=found.receive_queue,
                send_queue_bytes=found.send_queue,
            )
        if inode not in unix:
            return SeenSocket(fd=fd, protocol="other")
        return SeenSocket(fd=fd, protocol="unix", peer=self._mask(_text(unix[inode][1])))

    def _of_network(self, pid: int) -> tuple[dict[int, Connection], dict[int, tuple[int, str]]]:
        try:
            network = str(Path(f"/proc/{pid}/ns/net").readlink())
        except OSError:
            network = ""
        if network not in self._lists:
            self._lists[network] = (connections(pid), unix_peers(pid))
        return self._lists[network]


def _cpu_seconds(pid: int) -> float:
    """Spent so far by all its threads; 0 when it is gone meanwhile."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    fields = content[content.rindex(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _text(value: str) -> str:
    """Names need not be UTF-8 and may hold control sequences; what is told is text."""
    return without_control_sequences(value.encode("utf-8", "backslashreplace").decode("utf-8")).replace(
        "\n", " "
    )
