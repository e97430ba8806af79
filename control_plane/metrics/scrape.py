"""What a scrape has to wait for, asked before the figures are written: the broker, and the disks."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from control_plane.context import Context
from control_plane.health.disk import places

SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scrape:
    """Figures that are None or missing are not known at the moment: their series are left out."""

    lag: int | None = None
    stored_bytes: dict[str, int] = field(default_factory=dict)
    disks: dict[str, tuple[int, int]] = field(default_factory=dict)
    certificate_expiry: datetime | None = None


async def look(context: Context) -> Scrape:
    """Ask, within ``SECONDS``; without the broker there is no figure of it, and the others still count."""
    lag: int | None = None
    stored: dict[str, int] = {}
    try:
        async with asyncio.timeout(SECONDS):
            lag = await context.projector.lag()
            stored = await context.bus.stored_bytes()
    except Exception:  # noqa: BLE001 — whatever kept it from answering, it is not known
        lag, stored = None, {}
    return Scrape(
        lag=lag,
        stored_bytes=stored,
        disks={place.name: (place.free_bytes, place.total_bytes) for place in places(context)},
        certificate_expiry=context.bus.certificate_expiry(),
    )
