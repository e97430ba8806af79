"""Commands by which runs are held, looked into and let go on. Each is checked, decided in advance, and published.

The decision here is advice, as with all commands about runs: the host decides again.
"""

from control_plane.command_side.answering import (
    Accepted,
    accepted,
    conflict,
    destination,
    repeatable,
    repeated,
)
from control_plane.command_side.desk import Desk
from control_plane.command_side.repetition import Repeatable, content_of
from control_plane.command_side.requests import (
    BreakpointsRequest,
    ContinueRequest,
    EvaluateRequest,
    PauseRequest,
    StepRequest,
    VariableRequest,
    breakpoints_of,
)
from runplane.contract.commands import (
    ContinueRun,
    DiagnoseRun,
    EvaluateExpression,
    PauseRun,
    SetBreakpoints,
    SetVariables,
    StepRun,
)
from runplane.contract.run import Actor
from runplane.core.decide import Rejection, decide
from runplane.stamp import now

HoldingCommand = PauseRun | ContinueRun | StepRun | SetBreakpoints | SetVariables | EvaluateExpression


class HoldingCommands:
    """Takes requests about runs that are held, are to be held, or are to be looked into."""

    def __init__(self, desk: Desk) -> None:
        """Publish through ``desk``."""
        self._desk = desk

    async def pause_run(
        self, run_id: str, request: PauseRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish PauseRun. Conflict where the run's status does not allow it; one that is paused stays so."""
        again = repeatable(actor, key, "pause", run_id, content_of(request))
        return await self._order(PauseRun(run_id=run_id, reason=request.reason), actor, again)

    async def continue_run(
        self, run_id: str, request: ContinueRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish ContinueRun. Conflict where the run is not paused."""
        again = repeatable(actor, key, "continue", run_id, content_of(request))
        return await self._order(ContinueRun(run_id=run_id, reason=request.reason), actor, again)

    async def step_run(
        self, run_id: str, request: StepRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish StepRun. Conflict where the run is not held."""
        again = repeatable(actor, key, "step", run_id, content_of(request))
        return await self._order(StepRun(run_id=run_id, mode=request.mode), actor, again)

    async def set_breakpoints(
        self, run_id: str, request: BreakpointsRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish SetBreakpoints. Conflict where the run has ended, or is about to."""
        again = repeatable(actor, key, "breakpoints", run_id, content_of(request))
        command = SetBreakpoints(run_id=run_id, breakpoints=breakpoints_of(request.breakpoints))
        return await self._order(command, actor, again)

    async def set_variable(
        self, run_id: str, request: VariableRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish SetVariables. Conflict where the run is not held at a breakpoint, or shows no such variable."""
        again = repeatable(actor, key, "variables", run_id, content_of(request))
        command = SetVariables(run_id=run_id, values={request.name: request.value}, scope=request.scope)
        return await self._order(command, actor, again)

    async def evaluate(
        self, run_id: str, request: EvaluateRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish EvaluateExpression. Conflict where the run is not held at a line."""
        again = repeatable(actor, key, "evaluate", run_id, content_of(request))
        command = EvaluateExpression(run_id=run_id, expression=request.expression, frame=request.frame)
        return await self._order(command, actor, again)

    async def _order(self, command: HoldingCommand, actor: Actor, again: Repeatable | None) -> Accepted:
        """Publish an order to whoever owns the run; what cannot be is refused, and that is written down."""
        run_id = command.run_id
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        state = await self._desk.state(run_id)
        decision = decide(state, command, now())
        if isinstance(decision, Rejection):
            await self._desk.refuse(command, decision, run_id=run_id, actor=actor, again=again)
            raise conflict(decision, run_id)
        placed = await self._desk.place(
            command, subject=destination(state, command, run_id), actor=actor, again=again
        )
        return accepted(placed, run_id)

    async def diagnose_run(self, run_id: str, actor: Actor) -> str:
        """Publish DiagnoseRun to the host that holds the run; returns its id. Conflict where nobody holds it."""
        state = await self._desk.state(run_id)
        command = DiagnoseRun(run_id=run_id)
        decision = decide(state, command, now())
        if isinstance(decision, Rejection):
            raise conflict(decision, run_id)
        placed = await self._desk.place(command, subject=destination(state, command, run_id), actor=actor)
        return placed.envelope.id
