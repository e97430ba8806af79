"""Holds one live attempt at the lines of its Python program, through the debugger in it. Made by its attendance.

Rules. The program's own session keeps it stopped, so it stays held whoever dies; a stop is told once, by its number.
One that was told, while the story says that the run goes on, is let go on: the order had not reached it. Nothing is
asked without a limit, and what the debugger refuses is said in its words.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.debug.attaching import attach
from agent.debug.link import Body, DebuggerError, DebugLink
from agent.debug.snapshot import locals_of, stack_of
from agent.environment import masked_value
from agent.line_breakpoints import LineBreakpoints
from agent.line_requests import LineRequests
from agent.process.run_directory import RunDirectory
from agent.process.tree import AttemptProcess
from agent.story import Story
from runplane.contract.debugging import fitted
from runplane.contract.envelope import Envelope
from runplane.contract.errors import InvalidInput, Unavailable
from runplane.contract.events import (
    RunContinued,
    RunPaused,
    Until,
)
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Run, Status
from runplane.contract.spec import Breakpoint
from runplane.contract.value import Value
from runplane.core.debugging import is_line
from runplane.stamp import now

log = logging.getLogger("agent.lines")

_FIRST_SECONDS, _LONGEST_SECONDS = 0.02, 2.0
_PAUSE_SECONDS = 1.0
_AGAIN_SECONDS = 0.5
_MOST_BYTES = 64 << 10
_ABSENT_SECONDS = 20.0
_ATTACH_SECONDS = 15.0
_GO_ON: dict[Until | None, str] = {"over": "next", "into": "stepIn", "out": "stepOut"}


class Lines:
    """Of one attempt. ``lock`` is the keeper's; ``moving`` is set while it is not held, ``finished`` once
    nobody keeps it any more; ``mask`` hides its secrets.
    """

    def __init__(
        self,
        story: Story,
        process: AttemptProcess,
        workspace: str,
        lock: asyncio.Lock,
        moving: asyncio.Event,
        *,
        finished: asyncio.Event,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        mask: Callable[[str], str],
        tell_condition: Callable[[Value], Coroutine[Any, Any, Envelope | None]],
    ) -> None:
        """Nothing is connected before :meth:`follow`."""
        self._story = story
        self._process = process
        self._directory = RunDirectory(process.directory)
        self._workspace = workspace
        self._lock = lock
        self._moving = moving
        self._finished = finished
        self._spawn = spawn
        self._mask = mask
        self._points = LineBreakpoints(story, self._directory, workspace, tell_condition=tell_condition)
        self.requests = LineRequests(story, lock, frame=self._held_frame, mask=mask)
        self._attaching: asyncio.Future[str | None] | None = None
        self._is_followed = False
        self._connected = asyncio.Event()
        self._link: DebugLink | None = None
        self._thread = 0
        self._stopped = asyncio.Event()

    @property
    def is_there(self) -> bool:
        """Whether the program's debugger can be asked."""
        return self._link is not None

    def begin(self) -> None:
        """Keep in touch with the program's debugger from here on."""
        if not self._is_followed:
            self._is_followed = True
            self._spawn(self.follow())

    async def follow(self) -> None:
        """Keep in touch with the program's debugger until the program is gone."""
        pause, waited = _FIRST_SECONDS, 0.0
        while not (self._process.gone.is_set() or self._finished.is_set()):
            link = await DebugLink.connect(self._directory.debug_socket, self._heard)
            if link is not None:
                pause, waited, self._link = _FIRST_SECONDS, 0.0, link
                self._connected.set()
                await self._set_as_told()
                await self._points.say_why_not()
                self._stopped.set()
                await self._until_lost(link)
                self._link = None
            try:
                async with asyncio.timeout(pause):
                    await self._finished.wait()
            except TimeoutError:
                waited, pause = waited + pause, min(pause * 1.5, _LONGEST_SECONDS)
                if waited > _ABSENT_SECONDS:
                    waited = float("-inf")
                    await self._points.doubt(
                        "its debugger has not answered since the start: either it is no Python program, or its "
                        "standard error says why. Breakpoints at lines hold nothing"
                    )

    async def pause(self, fact: RunPaused) -> RunPaused | None:
        """The fact with the line it was stopped at; None where it did not come to one in time."""
        link = self._link
        if link is None:
            return None
        try:
            threads = (await link.ask("threads", limit=_PAUSE_SECONDS)).get("threads", ())
            self._thread = int(threads[0]["id"])
            await link.ask("pause", limit=_PAUSE_SECONDS, threadId=self._thread)
            async with asyncio.timeout(_PAUSE_SECONDS):
                while (stop := (await link.ask("runplane")).get("stop")) is None:  # noqa: ASYNC110 - the program is asked
                    await asyncio.sleep(0.01)
            seen = await self._seen(link, stop)
        except (DebuggerError, TimeoutError, LookupError) as error:
            log.info("%s is not paused at a line: %s", self._story.run_id, error)
            await self._forget_pause(link)
            return None
        return fact.model_copy(update=seen)

    async def set_breakpoints(self, points: tuple[Breakpoint, ...]) -> InvalidInput | None:
        """Have the program stop at these lines, and at no others; else why it cannot. Attaches where need be."""
        new = tuple(point for point in points if point not in self._points.told)
        problem = self._points.why_not(new)
        is_new_line = any(is_line(point.location) for point in new)
        if problem is None and is_new_line and self._link is None and not self._directory.debug.exists():
            problem = await self._attached(points)
        if problem is None and self._directory.debug.exists():  # else it has no debugger, and needs none
            await self._points.set(self._link, points)
        return problem

    def are_set(self) -> None:
        """The story has them now."""
        if self._points.is_doubtful:
            self._spawn(self._points.trust())

    def give_up(self) -> None:
        """The end of the run was ordered: nobody waits for its debugger any more."""
        if self._attaching is not None:
            self._attaching.cancel()
        if self._link is not None:
            self._link.close()

    def let_go(self) -> None:
        """Nobody holds the run any more: it stops at no line, and goes on."""
        if self._is_followed:
            self._spawn(self._let_go())

    async def _let_go(self) -> None:
        """By a connection of its own: the other one ends with the keeping of the run."""
        link = await DebugLink.connect(self._directory.debug_socket, lambda *_: None)
        if link is None:
            return
        try:
            for path in self._directory.read_debug():
                await link.ask("setBreakpoints", source={"path": path}, breakpoints=[])
            await link.ask("continue", threadId=self._thread)
        except DebuggerError as error:
            log.warning("%s is not let go by its debugger: %s", self._story.run_id, error)
        finally:
            link.close()

    async def _attached(self, points: tuple[Breakpoint, ...]) -> InvalidInput | None:
        """Start the debugger in a program that was started without it; why that cannot be, else None."""
        self._attaching = asyncio.ensure_future(self._attach(points))
        try:
            await asyncio.wait({self._attaching})
            if self._attaching.cancelled():
                why: str | None = "its end was ordered meanwhile"
            else:
                why = self._attaching.result()
        finally:
            self._attaching.cancel()
            self._attaching = None
        if why is None:
            return None
        self._directory.debug.unlink(missing_ok=True)
        first = next(point.location for point in points if is_line(point.location))
        return InvalidInput(
            f"{first}: {self._story.run_id} was not started with its debugger, and it cannot be attached to ({why}): "
            f"start one with runplane run {self._story.spec.workflow} --break {first}",
            code="not_debugged",
        )

    async def _attach(self, points: tuple[Breakpoint, ...]) -> str | None:
        try:
            await self._points.set(None, points)
            await attach(self._process.main.pid, self._directory.path)
            self.begin()
            async with asyncio.timeout(_ATTACH_SECONDS):
                await self._connected.wait()
        except DebuggerError as error:
            return str(error)
        except TimeoutError:
            return (
                f"its debugger has not answered within {_ATTACH_SECONDS:g} s; its standard error may say why"
            )
        except OSError as error:
            return f"its run directory takes nothing more ({error.strerror})"
        return None

    async def _set_as_told(self) -> None:
        async with self._lock:
            await self._points.set(self._link, self._points.told)

    async def _forget_pause(self, link: DebugLink) -> None:
        """It is held otherwise: it is not to stop once more when it goes on."""
        try:
            await link.ask("continue", limit=1.0, threadId=self._thread)
        except DebuggerError as error:
            log.info("%s: %s", self._story.run_id, error)

    def _heard(self, event: str, _body: Body) -> None:
        if event in ("stopped", "continued"):
            self._stopped.set()
        elif event == "left":  # an editor, with breakpoints of its own
            self._spawn(self._set_as_told())

    async def _until_lost(self, link: DebugLink) -> None:
        over = {asyncio.ensure_future(event.wait()) for event in (link.lost, self._finished)}
        try:
            while not any(one.done() for one in over):
                stopped = asyncio.ensure_future(self._stopped.wait())
                await asyncio.wait({stopped, *over}, return_when=asyncio.FIRST_COMPLETED)
                if not stopped.cancel() and not link.lost.is_set():
                    self._stopped.clear()
                    await self._look(link)
        finally:
            for one in over:
                one.cancel()
            link.close()

    def look_again(self) -> None:
        """The story has moved on: what the program does is compared with it anew."""
        self._stopped.set()

    async def _look(self, link: DebugLink) -> None:
        async with self._lock:
            try:
                stop = (await link.ask("runplane")).get("stop")
                run = self._story.state.run
                if run is not None and run.status is Status.PAUSED:
                    run = await self._gone_on(run, stop)
                if stop is None or run is None or run.status is not Status.RUNNING:
                    return
                self._thread = int(stop.get("threadId", 0))
                if int(stop["number"]) <= self._story.state.debugging.stop:
                    until = self._story.state.debugging.until
                    await link.ask(_GO_ON.get(until, "continue"), threadId=self._thread)
                    return
                seen = await self._seen(link, stop)
            except (DebuggerError, LookupError, ValueError, TypeError) as error:
                log.warning(
                    "%s: its stop cannot be looked at, or does not end: %s", self._story.run_id, error
                )
                return
            await self._tell_stop(stop, seen)

    async def _gone_on(self, run: Run, stop: Body | None) -> Run | None:
        """It was held at a line, and an editor has let it go on."""
        at = run.held.at if run.held is not None else None
        number = int(stop["number"]) if stop is not None else None
        if at is None or not is_line(at) or number == self._story.state.debugging.stop:
            return run
        held = max(0.0, (now() - run.held.since).total_seconds()) if run.held is not None else 0.0
        await self._story.tell(self._story.fact(RunContinued(by="an editor", held_seconds=round(held, 3))))
        self._moving.set()
        return self._story.state.run

    async def _tell_stop(self, stop: Body, seen: dict[str, Any]) -> None:
        debugging, run = self._story.state.debugging, self._story.state.run
        asker = debugging.breakpoints_by if stop.get("reason") == "breakpoint" else debugging.until_by
        if asker is None and run is not None:
            asker = Actor(principal=run.requested_by, surface=run.requested_via)
        fact = RunPaused(by=asker.principal if asker else None, reason=_reason(stop, seen["at"]), **seen)
        identity = derive_record_id("stop", self._story.run_id, str(self._story.attempt), str(stop["number"]))
        envelope = self._story.fact(fact, actor=asker, record_id=identity)
        while True:
            try:
                await self._story.report(envelope)
                break
            except Unavailable as error:
                log.warning("%s: its stop waits to be told: %s", self._story.run_id, error.message)
                await asyncio.sleep(_AGAIN_SECONDS)
        self._moving.clear()

    async def _seen(self, link: DebugLink, stop: Body) -> dict[str, Any]:
        """Where it is stopped and what can be seen there, as fields of a ``RunPaused``."""
        self._thread = int(stop["threadId"])
        ids, stack = await stack_of(link, self._thread, self._workspace)
        if not stack:
            raise DebuggerError("it is stopped outside of its own code")
        scope = await locals_of(link, ids[0])
        hidden = masked_value(scope.model_dump(mode="json"), self._mask)
        return {
            "at": f"{stack[0].file}:{stack[0].line}",
            "stop": int(stop["number"]),
            "scopes": fitted((type(scope).model_validate(hidden),), _MOST_BYTES),
            "stack": stack,
        }

    async def _held_frame(self, number: int = 0) -> tuple[DebugLink, int]:
        link = self._link
        if link is None:
            raise DebuggerError("the program's debugger cannot be reached now")
        ids, _ = await stack_of(link, self._thread, self._workspace)
        if not 0 <= number < len(ids):
            raise DebuggerError(f"there is no frame {number}: there are {len(ids)}, from 0")
        return link, ids[number]


def _reason(stop: Body, at: str) -> str:
    match stop.get("reason"):
        case "breakpoint" | "goto":
            return f"breakpoint {at}"
        case "step":
            return "a step by lines"
        case "pause":
            return "pause"
        case other:
            return f"{other}: {json.dumps(stop.get('text') or stop.get('description') or '')}"[:200]
