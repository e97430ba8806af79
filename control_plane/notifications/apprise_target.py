"""Targets that apprise knows (mail, chat, SMS …): an optional part of the installation, ``runplane[notify]``."""

import asyncio
from importlib.util import find_spec
from typing import Any

from control_plane.notifications.message import Message

MISSING = "apprise is not installed: `pip install 'runplane[notify]'`, then restart the control plane"


def is_installed() -> bool:
    """Whether such targets can be told at all."""
    return find_spec("apprise") is not None


async def send_by_apprise(address: str, message: Message) -> str | None:
    """Send it once, in a thread of its own; None where it went out, else why not, without the address."""
    if not is_installed():
        return MISSING
    return await asyncio.to_thread(_send, address, message)


def _send(address: str, message: Message) -> str | None:
    import apprise  # noqa: PLC0415 — large, and not always there

    sender: Any = apprise.Apprise()
    if not sender.add(address):
        return "its address is none that apprise knows: see `python -m apprise --details`"
    kind = apprise.NotifyType.WARNING
    if sender.notify(title=message.title, body=message.text, notify_type=kind):
        return None
    return "apprise could not deliver it: the log of the control plane says more"
