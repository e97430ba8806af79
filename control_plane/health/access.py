"""When does access end: tokens and certificates."""

import stat
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from control_plane.context import Context
from control_plane.health.check import Check, degraded, failed, ok

EXPIRING = timedelta(days=14)


async def tokens(context: Context) -> Check:
    """The token file: still there, closed to others. Its token has no end; a session of a browser ends after a week."""
    path = context.settings.token_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        todo = "restart the control plane to have a new one made, and give it to whoever had the old one"
        return degraded("tokens", f"the token file {path} cannot be looked at ({error.strerror})", todo)
    if mode & 0o077:
        return degraded(
            "tokens", f"the token file {path} can be read by others", f"`chmod 600 {path}`", expiring=0
        )
    return ok("tokens", "one access token, which does not expire", expiring=0, expires_at=None)


async def certificates(context: Context) -> Check:
    """The broker's certificate, where the connection is encrypted. The control plane itself speaks plain HTTP."""
    return _certificate(context.bus.certificate_expiry(), datetime.now(UTC))


def _certificate(expires_at: datetime | None, now: datetime) -> Check:
    name = "certificates"
    if expires_at is None:
        detail = "not applicable: the broker's connection is not encrypted, and the control plane serves plain HTTP"
        return ok(name, detail, expires_at=None)
    left = expires_at - now
    figures: dict[str, JsonValue] = {
        "expires_at": expires_at.isoformat(),
        "seconds_left": left.total_seconds(),
    }
    detail = f"the broker's certificate is good until {expires_at:%Y-%m-%dT%H:%M:%SZ}"
    todo = (
        "put a new certificate where the broker's configuration names it, and `nats-server --signal reload`"
    )
    if left <= timedelta(0):
        gone = f"the broker's certificate was good until {expires_at:%Y-%m-%dT%H:%M:%SZ}: the next connection fails"
        return failed(name, gone, todo, **figures)
    if left < EXPIRING:
        return degraded(name, f"{detail}: {left.days} days", todo, **figures)
    return ok(name, detail, **figures)
