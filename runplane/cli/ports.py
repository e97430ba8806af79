"""Free ports on loopback, outside the range from which the kernel takes ports for outgoing connections.

A listener that comes back after a crash must find its port free. In the ephemeral range any client may have been
given it meanwhile; a client that keeps reconnecting may even have connected to itself.
"""

import secrets
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOWEST = 10_240
ATTEMPTS = 200
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether a listener could take the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def pick_free() -> int:
    """A random free port below the ephemeral range; raises ``OSError`` where none was found."""
    highest = _first_ephemeral()
    for _ in range(ATTEMPTS):
        port = LOWEST + secrets.randbelow(highest - LOWEST)
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {LOWEST} and {highest - 1} in {ATTEMPTS} tries")


def _first_ephemeral() -> int:
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > LOWEST + ATTEMPTS else 32_768
