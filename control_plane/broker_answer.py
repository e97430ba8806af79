"""Asking the broker something, where the asker has a caller of its own to tell when it does not answer."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from runplane.contract.errors import RunplaneError, Unavailable

log = logging.getLogger("control_plane")

Answer = TypeVar("Answer")


async def from_broker(asked: Awaitable[Answer]) -> Answer:
    """The answer; Unavailable, whatever kept it from coming."""
    try:
        return await asked
    except RunplaneError:
        raise
    except Exception as error:
        log.debug("the broker did not answer", exc_info=True)
        raise Unavailable(
            f"the broker did not answer ({type(error).__name__}): ask again in a moment; "
            f"if that does not help, see /healthz"
        ) from error
