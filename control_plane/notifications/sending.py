"""One attempt to tell a target, within its time; never raises, and never says where the target is."""

import asyncio
import time
from dataclasses import dataclass

from control_plane.notifications.apprise_target import send_by_apprise
from control_plane.notifications.configuration import Configuration
from control_plane.notifications.message import Message
from control_plane.notifications.settings import Target, check_address
from control_plane.notifications.signing import headers_of, key_of
from control_plane.notifications.webhook import post
from runplane.contract.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What became of an attempt. ``final``: another makes no sense. ``retry_after``: seconds that were asked for."""

    ok: bool
    status: int | None = None
    error: str = ""
    final: bool = False
    retry_after: float | None = None


async def send(configuration: Configuration, target: Target, message_id: str, message: Message) -> Sent:
    """Tell the target."""
    try:
        async with asyncio.timeout(target.timeout):
            if target.url is not None:
                return await _webhook(configuration, target, message_id, message)
            address = configuration.resolve(target.apprise or "", f"{target.name}.apprise")
            error = await send_by_apprise(address, message)
            return Sent(ok=error is None, error=error or "")
    except TimeoutError:
        return Sent(ok=False, error=f"no answer within {target.timeout:g} s")
    except InvalidInput as error:
        return Sent(ok=False, error=error.message)
    except Exception as error:  # noqa: BLE001 — its text may hold the address
        return Sent(ok=False, error=f"it could not be sent ({type(error).__name__})")


async def _webhook(configuration: Configuration, target: Target, message_id: str, message: Message) -> Sent:
    url = configuration.resolve(target.url or "", f"{target.name}.url")
    try:
        check_address(url)
    except ValueError as error:
        raise InvalidInput(f"{target.name}.url {error}", field=f"{target.name}.url") from None
    field = f"{target.name}.secret"
    key = key_of(configuration.resolve(target.secret or "", field), field)
    body = message.body()
    answer = await post(url, body, headers_of(key, message_id, int(time.time()), body))
    return Sent(
        ok=answer.ok,
        status=answer.status,
        error=answer.error,
        final=answer.is_gone,
        retry_after=answer.retry_after,
    )
