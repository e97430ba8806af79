"""What ends an attempt that goes too far: its time, that of a step, a limit, what it prints, its lease. Of one attempt.

Made by its attendance. Each watch ends with the attempt, and orders the end from :class:`agent.ending.Ending`, which
lets one begin only. Time that the run was held counts for nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from agent.ending import Ending, lease_over
from agent.lease import clock
from agent.process.tree import AttemptProcess
from agent.story import Story
from agent.watch.limits import OutputCounter, until_reached
from runplane.contract.events import RunTerminating
from runplane.contract.run import Failure
from runplane.core.policies.leases import hard_stop_after

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Overrun:
    """``moving`` is set while it is not held, ``finished`` when it is over; ``most_output``: bytes it may print."""

    def __init__(
        self,
        story: Story,
        process: AttemptProcess,
        ending: Ending,
        *,
        moving: asyncio.Event,
        finished: asyncio.Event,
        spawn: Spawn,
        most_output: int,
    ) -> None:
        """Nothing is watched before :meth:`begin`."""
        self._story = story
        self._process = process
        self._ending = ending
        self._moving = moving
        self._finished = finished
        self._spawn = spawn
        self._output = OutputCounter(most_output)

    def begin(self) -> None:
        """Watch what its workflow sets limits to."""
        spec = self._story.spec
        if spec.timeout is not None:
            self._watch(self._until_timeout(spec.timeout))
        if spec.timeouts.step is not None:
            self._watch(self._until_step_timeout(spec.timeouts.step))
        if spec.limits.memory is not None or spec.limits.processes is not None:
            self._watch(self._until_limit())

    def count_output(self, stream: str, size: int) -> None:
        """The stream holds ``size`` bytes now; end the attempt when both together are over the limit."""
        failure = self._output.grown(stream, size, self._process.directory)
        if failure is not None:
            self._spawn(self._at_once(failure))

    async def end_for_lease(self, elapsed: float) -> None:
        """End the attempt, because the broker was out of reach for longer than its workflow allows."""
        spec = self._story.spec
        grace = max(0.0, min(spec.kill.grace, hard_stop_after(spec) - elapsed))
        failure = lease_over(elapsed)
        await self._ending.order(
            RunTerminating(
                purpose="disconnect",
                method="graceful",
                grace_seconds=grace,
                reason=failure.message,
                failure=failure,
            )
        )

    def _watch(self, watching: Coroutine[Any, Any, None]) -> None:
        self._spawn(self._while_it_lasts(watching))

    async def _while_it_lasts(self, watching: Coroutine[Any, Any, None]) -> None:
        looking = asyncio.ensure_future(watching)
        over = asyncio.ensure_future(self._finished.wait())
        try:
            await asyncio.wait({looking, over}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
        finally:
            for task in (looking, over):
                task.cancel()
            await asyncio.gather(looking, over, return_exceptions=True)

    async def _until_timeout(self, timeout: float) -> None:
        """End it when it has run for ``timeout`` seconds, those held left out, whoever was there meanwhile."""
        while True:
            await self._moving.wait()
            left = timeout - (self._process.age() - self._held_seconds())
            if left <= 0:
                break
            await asyncio.sleep(left)
        await self._time_out(Failure(kind="timeout", message=f"its time of {timeout:g} s was up"))

    async def _until_step_timeout(self, timeout: float) -> None:
        """End it when one of its steps has been open for ``timeout`` seconds, those held left out."""
        held: dict[str, float] = {}
        while True:
            self._story.step_changed.clear()
            await self._moving.wait()
            steps = self._story.open_steps
            held = {place: held.get(place, self._held_seconds()) for place in steps}
            if not steps:
                await self._story.step_changed.wait()
                continue
            left = {
                place: timeout - (clock() - since) + self._held_seconds() - held[place]
                for place, since in steps.items()
            }
            first = min(left, key=lambda place: left[place])
            if left[first] <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left[first]):
                    await self._story.step_changed.wait()
        name = first.rpartition("/")[2].rpartition("#")[0]
        message = f"its step {name} took longer than {timeout:g} s (timeouts.step)"
        await self._time_out(Failure(kind="step_timeout", message=message))

    async def _until_limit(self) -> None:
        """End it when it reaches a limit on memory or processes."""
        await self._at_once(await until_reached(self._story.spec.limits, self._process))

    async def _time_out(self, failure: Failure) -> None:
        grace = self._story.spec.kill.grace
        await self._ending.order(
            RunTerminating(
                purpose="timeout",
                method="graceful",
                grace_seconds=grace,
                reason=failure.message,
                failure=failure,
            ),
            also_when_over=True,
        )

    async def _at_once(self, failure: Failure) -> None:
        """What reached a limit gets no grace."""
        await self._ending.order(
            RunTerminating(
                purpose="limit", method="force", grace_seconds=0.0, reason=failure.message, failure=failure
            )
        )

    def _held_seconds(self) -> float:
        run = self._story.state.run
        return run.attempts[-1].held_seconds if run is not None and run.attempts else 0.0
