"""Whether a quiet tree moves bytes: through files it has open, through its connections, to the disk.

Called by the stuck detector when a run has been quiet for a while. Rules: pipes do not count, for two processes can
pass nothing to and fro for ever; nor do the files of the run directory, whose growth is known already.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.process.kernel import read_head
from agent.watch import descriptors
from agent.watch.sockets import connections

MOST_PROCESSES = 64
_LEAST_FILE_BYTES = 4096
_LEAST_NETWORK_BYTES = 512
_LEAST_DISK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Moved:
    """Counters at one moment: positions in files, bytes received by connection, bytes written to the disk."""

    files: dict[tuple[int, str], int]
    received: dict[int, int]
    written: int

    def since(self, before: "Moved") -> str:
        """What has moved since then, in words; empty when nothing has."""
        for key, position in self.files.items():
            if abs(position - before.files.get(key, 0)) >= _LEAST_FILE_BYTES:
                return f"it works on {key[1]}"
        for inode, received in self.received.items():
            if received - before.received.get(inode, 0) >= _LEAST_NETWORK_BYTES:
                return "it receives data"
        return "it writes to the disk" if self.written - before.written >= _LEAST_DISK_BYTES else ""


def look(pids: Iterable[int], directory: str, written: int) -> Moved:
    """The counters now. ``directory``: the run's own; ``written``: what the tree has written to the disk so far."""
    files: dict[tuple[int, str], int] = {}
    inodes: set[int] = set()
    processes = list(pids)[:MOST_PROCESSES]
    for pid in processes:
        for name in descriptors.names(pid):
            target = descriptors.target(pid, int(name))
            if target.startswith("socket:["):
                inodes.add(int(target[len("socket:[") : -1]))
            elif target.startswith("/") and not target.startswith(("/dev/", "/proc/", directory)):
                files[pid, target] = _position(pid, name)
    received: dict[int, int] = {}
    if inodes and processes:
        for inode, connection in connections(processes[0]).items():
            if inode in inodes and connection.bytes_received is not None:
                received[inode] = connection.bytes_received
    return Moved(files, received, written)


def _position(pid: int, name: str) -> int:
    fields = read_head(f"/proc/{pid}/fdinfo/{name}").split(None, 2)
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0
