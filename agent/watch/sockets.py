"""The connections of a network namespace, by socket inode: TCP ones with how long ago each was last heard from, unix
ones with the file that the other end is bound to.

Asked of the kernel over ``NETLINK_SOCK_DIAG`` (Linux 3.3; no rights are needed for it). Where that is refused, the
tables of ``/proc/PID/net`` say the same without the times. Called by the look at what threads wait for.
"""

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.process.kernel import read_head

STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
    "LISTEN", "CLOSING",
)  # fmt: skip
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_ALL_STATES = 0xFFFFFFFF
_INFO = 2
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_UNIX_REQUEST = struct.Struct("=BBHIII8s")
_UNIX_MESSAGE = struct.Struct("=BBBBI8s")
_UNIX_SHOW_NAME_AND_PEER = 0x5
_UNIX_NAME, _UNIX_PEER = 0, 2
_LAST_DATA_RECEIVED = 52
"""Where ``struct tcp_info`` has ``tcpi_last_data_recv``, in milliseconds."""
_BYTES_RECEIVED = 128
_MOST_BYTES = 4 << 20
_TABLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Connection:
    """``peer`` is empty for one that listens. ``quiet_seconds``: since data came, where the kernel says so.

    ``receive_queue``, ``send_queue``: bytes not read yet, and not acknowledged yet.
    """

    state: str
    local: str
    peer: str
    quiet_seconds: float | None = None
    bytes_received: int | None = None
    receive_queue: int | None = None
    send_queue: int | None = None

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.peer or self.local} ({self.state})"


def connections(pid: int) -> dict[int, Connection]:
    """All TCP sockets of the network namespace that the process is in, by inode."""
    if _same_network(pid):
        try:
            return {**_ask(socket.AF_INET), **_ask(socket.AF_INET6)}
        except OSError:
            pass
    return {**_table(pid, "tcp", 4), **_table(pid, "tcp6", 16)}


def _same_network(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")  # noqa: PTH115 - a hot path
    except OSError:
        return False


def _ask(family: int) -> dict[int, Connection]:
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, _ALL_STATES, bytes(48))
    return dict(_connection(message, family) for message in _dump(body))


def unix_peers(pid: int) -> dict[int, tuple[int, str]]:
    """Of each unix socket of this process's namespace: the other end's inode, and the file that end is bound to."""
    if not _same_network(pid):
        return {}
    body = _UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _UNIX_SHOW_NAME_AND_PEER, bytes(8))
    peers: dict[int, int] = {}
    names: dict[int, str] = {}
    try:
        for message in _dump(body):
            inode = _UNIX_MESSAGE.unpack_from(message)[4]
            for kind, content in _attributes(message, _UNIX_MESSAGE.size):
                if kind == _UNIX_PEER:
                    peers[inode] = int.from_bytes(content[:4], "little")
                elif kind == _UNIX_NAME:
                    names[inode] = os.fsdecode(content.rstrip(bytes(1)).replace(bytes(1), b"@"))
    except OSError:
        return {}
    return {inode: (peer, names.get(peer, "")) for inode, peer in peers.items()}


def _dump(body: bytes) -> Iterator[bytes]:
    """The messages by which the kernel answers a request for all sockets of a kind."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
        total = 0
        while total < _MOST_BYTES:
            answer = kernel.recv(1 << 16)
            total += len(answer)
            at = 0
            while at + _HEADER.size <= len(answer):
                length, kind, _, _, _ = _HEADER.unpack_from(answer, at)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError("the kernel refuses to list its sockets")
                yield answer[at + _HEADER.size : at + length]
                at += max(_HEADER.size, (length + 3) & ~3)


def _attributes(message: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, message[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _connection(message: bytes, family: int) -> tuple[int, Connection]:
    (
        _, state, _, _, local_port, peer_port, local, peer, _, _, _, receive_queue, send_queue, _, inode,
    ) = _MESSAGE.unpack_from(message)  # fmt: skip
    size = 4 if family == socket.AF_INET else 16
    quiet = received = None
    for kind, info in _attributes(message, _MESSAGE.size):
        if kind == _INFO and len(info) >= _LAST_DATA_RECEIVED + 4:
            quiet = struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)[0] / 1000
            if len(info) >= _BYTES_RECEIVED + 8:
                received = struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0]
    name = STATES[state] if state < len(STATES) else f"state {state}"
    is_heard = name in ("ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "FIN_WAIT2")
    return inode, Connection(
        state=name,
        local=_shown(local[:size], int.from_bytes(local_port, "big")),
        peer="" if name == "LISTEN" else _shown(peer[:size], int.from_bytes(peer_port, "big")),
        quiet_seconds=quiet if is_heard else None,
        bytes_received=received if is_heard else None,
        receive_queue=receive_queue,
        send_queue=send_queue,
    )


def _table(pid: int, table: str, size: int) -> dict[int, Connection]:
    found: dict[int, Connection] = {}
    for line in read_head(f"/proc/{pid}/net/{table}", _TABLE_BYTES).splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:  # noqa: PLR2004 - a line cut short by the bound
            break
        state = STATES[int(fields[3], 16)]
        local, peer = (_from_table(field.decode(), size) for field in fields[1:3])
        found[int(fields[9])] = Connection(state, local, "" if state == "LISTEN" else peer)
    return found


def _from_table(text: str, size: int) -> str:
    address, _, port = text.partition(":")
    words = [
        bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, size * 2, 8)
    ]  # each word is little-endian
    return _shown(b"".join(words), int(port, 16))


def _shown(address: bytes, port: int) -> str:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return f"[{parsed}]:{port}" if parsed.version == 6 else f"{parsed}:{port}"  # noqa: PLR2004 - the IP version
