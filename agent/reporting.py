"""Tells what a workflow reported. Made by the keeper for a live process.

On a full disk reports wait, in memory and in the run's own file: the room that is left is for orders and endings. What
still waits when the run ends is told with its end.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.boundaries import Boundaries
from agent.checkpoints import Checkpoints
from agent.environment import masked_value
from agent.story import Story
from agent.values import Values
from agent.watch.reports import CheckpointTaken, Held, Report, ReportFile, Resumed, ShapeChanged, coalesced
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable

log = logging.getLogger("agent.reporting")

_FULL_SECONDS = 1.0


class Reporting:
    """Of one attempt. ``lock`` is the keeper's; ``mask`` takes the run's secrets out of what is told, if it has any.

    ``is_waited_for``: the workflow waits for its checkpoints, so what it reports is to be read as it comes.
    ``shape_changed``: what it said of its steps that are others now.
    """

    def __init__(
        self,
        story: Story,
        files: Sequence[ReportFile],
        boundaries: Boundaries,
        lock: asyncio.Lock,
        *,
        mask: Callable[[str], str] | None,
        values: Values,
        checkpoints: Checkpoints,
    ) -> None:
        """Nothing is read before :meth:`last`; whoever follows the files hands over what it reads to :meth:`tell`."""
        self._story = story
        self._files = files
        self._boundaries = boundaries
        self._mask = mask
        self._values = values
        self._checkpoints = checkpoints
        self.shape_changed: str | None = None
        self.is_waited_for = False
        self._lock = lock
        self._waiting: list[Report] = []

    async def tell(self, reports: list[Report]) -> None:
        """Returns when they are told, or the run has ended. Without any: what waits at a boundary is judged."""
        self.keep(reports)
        while True:
            async with self._lock:
                run = self._story.state.run
                if run is None or run.attempt_over:
                    return
                try:
                    self._waiting = self._boundaries.judged(coalesced(self._waiting))
                    await self._story.report(*self._story.reported(self._waiting))
                    self._waiting.clear()
                    self._boundaries.told()
                    return
                except Unavailable as error:
                    log.warning("%s: its reports wait: %s", self._story.run_id, error.message)
            await asyncio.sleep(_FULL_SECONDS)

    def keep(self, reports: list[Report]) -> None:
        """They are told with those that come next, or with the end."""
        self._waiting += map(self._masked, filter(self._is_fact, reports))

    async def settle(self) -> None:
        """Before an end is told: the last checkpoint that the workflow gave is stored, if that can be done soon."""
        for file in self._files:
            self.keep(file.read())
        await self._checkpoints.settled()

    def _is_fact(self, report: Report) -> bool:
        """Whether the report is told as it stands; others are handed on."""
        match report.fact:
            case CheckpointTaken():
                self.is_waited_for = self.is_waited_for or report.fact.waits
                self._checkpoints.take(report.fact)
            case ShapeChanged():
                self.shape_changed = report.fact.message
            case _:
                return True
        return False

    def _masked(self, report: Report) -> Report:
        report = self._values.taken(report)
        if self._mask is None:
            return report
        said = masked_value(report.fact.model_dump(mode="json"), self._mask)
        return replace(report, fact=type(report.fact).model_validate(said))

    def last(self) -> list[Envelope]:
        """What nobody has told yet, for whoever tells the end."""
        read = [report for file in self._files for report in file.read(last=True)]
        last = [self._masked(report) for report in read if self._is_fact(report)]
        untold = coalesced([*self._waiting, *last])
        return self._story.reported([one for one in untold if not isinstance(one.fact, Held | Resumed)])
