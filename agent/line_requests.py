"""What operators ask of a program that is held at a line: its variables changed, an expression evaluated. Owned by its
lines. What comes of it is told in the debugger's own words.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agent.debug.link import DebuggerError, DebugLink
from agent.debug.snapshot import members_of, reference_of, variable_of
from agent.environment import masked_value
from agent.story import Story
from runplane.contract.envelope import Envelope
from runplane.contract.events import CommandRejected, ExpressionEvaluated, VariablesSet
from runplane.contract.value import Value


class LineRequests:
    """Of one attempt. ``lock`` is the keeper's; ``frame`` finds a frame of the stack where it is held, by its number.

    ``mask`` hides the run's secrets.
    """

    def __init__(
        self,
        story: Story,
        lock: asyncio.Lock,
        *,
        frame: Callable[[int], Awaitable[tuple[DebugLink, int]]],
        mask: Callable[[str], str],
    ) -> None:
        """Nothing is asked before the first call."""
        self._story = story
        self._lock = lock
        self._frame = frame
        self._mask = mask

    async def set_variables(self, fact: VariablesSet) -> Value:
        """The fact once the program has the values; else why it does not."""
        try:
            link, frame = await self._frame(0)
            reference = await reference_of(link, frame)
            for name, value in fact.values.items():
                await link.ask("setVariable", variablesReference=reference, name=name, value=repr(value))
        except DebuggerError as error:
            return CommandRejected(
                command="SetVariables",
                code="not_set",
                message=f"{', '.join(fact.values)} of {self._story.run_id} could not be changed: {error}",
            )
        return fact

    async def evaluate(self, order: Envelope, expression: str, frame: int) -> None:
        """Evaluate, and tell what came of it. The order is on disk, and the program is held."""
        told: dict[str, Any] = {}
        try:
            link, top = await self._frame(frame)
            raw = await link.ask("evaluate", expression=expression, frameId=top, context="repl")
            told["result"] = variable_of(expression[:200], raw)
            told["members"] = await members_of(link, int(raw.get("variablesReference") or 0))
        except DebuggerError as error:
            told["error"] = str(error)[-2_000:]
        fact = ExpressionEvaluated(expression=expression, frame=frame, **told)
        said = masked_value(fact.model_dump(mode="json"), self._mask)
        async with self._lock:
            run = self._story.state.run
            if run is not None and not run.attempt_over:
                bounded = ExpressionEvaluated.model_validate(said)
                await self._story.tell(self._story.fact(bounded, cause=order, actor=order.actor))
