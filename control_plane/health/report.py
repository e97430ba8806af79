"""All checks side by side, each within a time of its own: one that hangs or breaks is a finding, not the end of it."""

import asyncio
from collections.abc import Awaitable, Callable

from control_plane.context import Context
from control_plane.health.access import certificates, tokens
from control_plane.health.broker import broker, durability
from control_plane.health.check import Check, failed
from control_plane.health.disk import disk
from control_plane.health.fleet import hosts, stuck
from control_plane.health.log import projection, readiness, records
from control_plane.health.notifications import notifications

CHECK_SECONDS = 3.0

CHECKS: dict[str, Callable[[Context], Awaitable[Check]]] = {
    "readiness": readiness,
    "broker": broker,
    "durability": durability,
    "projection": projection,
    "records": records,
    "hosts": hosts,
    "stuck": stuck,
    "disk": disk,
    "tokens": tokens,
    "certificates": certificates,
    "notifications": notifications,
}


async def report(context: Context) -> tuple[Check, ...]:
    """Every check, in the order of the table."""
    return tuple(await asyncio.gather(*(_bounded(name, check(context)) for name, check in CHECKS.items())))


async def _bounded(name: str, check: Awaitable[Check]) -> Check:
    todo = "read the control plane's log; the other checks say what else is not well"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return failed(name, f"no answer within {CHECK_SECONDS:g} s", todo)
    except Exception as error:  # noqa: BLE001 — a check that fails is a finding, not a failure of the answer
        return failed(name, f"{type(error).__name__}: {error}"[:300], todo)
