"""What others have said of a run that is kept here: that it ended, while this host was away or thought to be.

An operator may declare the outcome of a run whose host is not heard from. When the host returns the run is over for
everybody, and its tree must not go on. Listened for after a start, after every reconnection, and when an order to
declare an outcome comes, for then it may have been declared without us.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.hall import Hall
from agent.story import Story
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.subjects import LOG_STREAM, plane_event
from runplane.core.fold import apply, initial

log = logging.getLogger("agent.elsewhere")

_AGAIN_SECONDS = 1.0


class Elsewhere:
    """Listens for one run. ``lock`` is the keeper's; ``end`` ends what is left here of a run that others have ended.

    ``spawn`` runs work beside the keeper. ``unheard``: the broker was out of reach, and was not listened to since.
    """

    def __init__(
        self,
        hall: Hall,
        story: Story,
        lock: asyncio.Lock,
        *,
        end: Callable[[Envelope], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Nothing is asked before :meth:`was_away` or :meth:`listen`."""
        self.unheard = False
        self._hall = hall
        self._story = story
        self._lock = lock
        self._end = end
        self._spawn = spawn
        self._heard: str | None = None

    def was_away(self) -> None:
        """Listen as soon as the broker answers."""
        if not self.unheard:
            self.unheard = True
            self._spawn(self._until_heard())

    async def listen(self) -> None:
        """Hear whether the run has been ended, and end it here. Raises ``Unavailable``."""
        async with self._lock:
            await self.listen_locked()

    async def listen_locked(self) -> bool:
        """The same for whoever holds the lock; whether it had been ended."""
        run = self._story.state.run
        ending = None
        if run is not None and not run.attempt_over:
            ending = await self._ending()
            if ending is not None:
                await self._story.hear(ending)
                await self._end(ending)
        self.unheard = False
        return ending is not None

    async def _ending(self) -> Envelope | None:
        """The record of somebody else that ended the run. Hardly ever there: the plane's last word comes first."""
        said = await self._hall.bus.last_message(LOG_STREAM, plane_event(self._story.run_id))
        if said is None or said.headers.get("Nats-Msg-Id") == self._heard:
            return None
        state = initial()
        for seq, record in await self._hall.bus.story(self._story.run_id):
            state = apply(state, record, seq)
            if state.run is not None and state.run.attempt_over and state.run.attempt == self._story.attempt:
                return record if record.host != self._hall.settings.host else None
        self._heard = said.headers.get("Nats-Msg-Id")
        return None

    async def _until_heard(self) -> None:
        while self.unheard:
            try:
                await self.listen()
            except Unavailable as error:
                log.info("%s: what others said of it cannot be heard yet: %s", self._story.run_id, error)
                await asyncio.sleep(_AGAIN_SECONDS)
