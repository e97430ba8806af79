"""Is it ready? The broker accepts, the control plane says so, and it hears from the host's agent."""

import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from runplane.cli.home import Endpoint
from runplane.cli.loopback import ANSWER_WITHIN, get
from runplane.cli.ports import LOOPBACK

LOOK_EVERY = 0.05
PRESENT = ("online", "draining")


def broker_accepts(port: int) -> bool:
    """Whether a NATS server greets on the port. It listens only after its streams were recovered."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_WITHIN) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False


def plane_is_ready(url: str) -> bool:
    """Whether the control plane says that it is (``/readyz`` answers 200)."""
    return get(f"{url}/readyz").is_ok


def storage_fault(url: str, token: str) -> str | None:
    """Why the broker stores nothing, as the control plane found; None where it does, or nobody could be asked."""
    answer = get(f"{url}/healthz", token=token)
    checks = answer.body.get("checks", []) if isinstance(answer.body, dict) else []
    for check in checks:
        if check.get("name") == "broker" and check.get("figures", {}).get("stores") is False:
            return str(check.get("detail", ""))
    return None


class Host(NamedTuple):
    """What the control plane knows of a host: the id of its agent's last start, and whether it hears from it."""

    agent_id: str
    is_there: bool


def look_for_host(url: str, token: str, host_id: str) -> Host:
    """The host as the control plane sees it; an empty ``agent_id`` where it never joined."""
    answer = get(f"{url}/api/v1/hosts", token=token)
    items = answer.body.get("items", []) if answer.is_ok and isinstance(answer.body, dict) else []
    for item in items:
        if item.get("host_id") == host_id:
            return Host(str(item.get("agent_id", "")), item.get("status") in PRESENT)
    return Host("", is_there=False)


def system_is_ready(endpoint: Endpoint) -> bool:
    """Whether everything `up` started is ready, the agent included where there is one."""
    if not plane_is_ready(endpoint.url):
        return False
    return not endpoint.host_id or look_for_host(endpoint.url, endpoint.token, endpoint.host_id).is_there


def ask_until(condition: Callable[[], bool], limit: float) -> bool:
    """Ask until it holds, at most ``limit`` seconds; whether it did."""
    deadline = time.monotonic() + limit
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(LOOK_EVERY, left))
    return True
