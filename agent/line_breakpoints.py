"""The breakpoints at lines of one live attempt: whether they can be, and that the program has them. Owned by its lines.

What the story says is on disk in ``debug.json`` too, so that a program that is started, or attached to, begins with it.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.debug.link import Body, DebuggerError, DebugLink
from agent.debug.source import place_of
from agent.process.run_directory import RunDirectory
from agent.story import Story
from runplane.contract.envelope import Envelope
from runplane.contract.errors import InvalidInput
from runplane.contract.events import ConditionCleared, ConditionRaised
from runplane.contract.run import Condition
from runplane.contract.spec import Breakpoint
from runplane.contract.value import Value
from runplane.core.debugging import is_line
from runplane.stamp import now

log = logging.getLogger("agent.lines")

_CONDITION = "breakpoints"


class LineBreakpoints:
    """Of one attempt. ``tell_condition`` tells what was seen of the run."""

    def __init__(
        self,
        story: Story,
        directory: RunDirectory,
        workspace: str,
        *,
        tell_condition: Callable[[Value], Coroutine[Any, Any, Envelope | None]],
    ) -> None:
        """Nothing is looked at before the first call."""
        self._story = story
        self._directory = directory
        self._workspace = workspace
        self._tell_condition = tell_condition
        self.is_doubtful = False

    @property
    def told(self) -> tuple[Breakpoint, ...]:
        """Those that the story has."""
        run = self._story.state.run
        return run.breakpoints if run is not None else ()

    def why_not(self, points: tuple[Breakpoint, ...]) -> InvalidInput | None:
        """Why the run cannot be held at one of these lines; None where it can be at all of them."""
        for point in points:
            if not is_line(point.location):
                continue
            try:
                place_of(point.location, self._workspace)
            except InvalidInput as error:
                return error
        return None

    async def set(self, link: DebugLink | None, points: tuple[Breakpoint, ...]) -> None:
        """Have the program stop at these lines, and at no others; where it cannot be asked, once it begins."""
        files = files_of(points, self._workspace)
        before = self._directory.read_debug()
        try:
            self._directory.write_debug({"files": files})
        except OSError as error:
            log.warning("%s: its breakpoints are not on disk: %s", self._story.run_id, error.strerror)
        if link is None:
            return
        for path in {**before, **files}:
            try:
                await link.ask("setBreakpoints", source={"path": path}, breakpoints=files.get(path, []))
            except DebuggerError as error:
                log.warning("%s: breakpoints in %s: %s", self._story.run_id, path, error)

    async def say_why_not(self) -> None:
        """Say of those there are which of them can never be met."""
        problem = self.why_not(self.told)
        if problem is not None:
            await self.doubt(problem.message)

    async def doubt(self, detail: str) -> None:
        """Say what is wrong with them, on the run itself."""
        self.is_doubtful = True
        await self._tell_condition(
            ConditionRaised(condition=Condition(type=_CONDITION, since=now(), detail=detail))
        )

    async def trust(self) -> None:
        """All of them can be met now."""
        self.is_doubtful = False
        await self._tell_condition(ConditionCleared(type=_CONDITION))


def files_of(points: tuple[Breakpoint, ...], workspace: str) -> dict[str, list[Body]]:
    """Breakpoints at lines as the debugger takes them, by file; what cannot be there is left out."""
    files: dict[str, list[Body]] = {}
    for point in points:
        if not is_line(point.location):
            continue
        try:
            path, line = place_of(point.location, workspace)
        except InvalidInput as error:
            log.warning("%s", error.message)
            continue
        wanted: Body = {"line": line}
        if point.condition is not None:
            wanted["condition"] = point.condition
        files.setdefault(str(path), []).append(wanted)
    return files
