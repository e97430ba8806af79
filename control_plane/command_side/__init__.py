"""The command side: it checks what is asked, wraps it, and publishes it. A 2xx means that the broker has stored it.

``requests`` are the bodies, ``runs`` and ``registry`` what is done with them, ``bulk`` the killing of many;
``parameters`` and ``arguments`` check, ``desk`` publishes, ``repetition`` makes a repeated request harmless.
"""

from collections.abc import Sequence

from control_plane.command_side.answering import Accepted
from control_plane.command_side.bulk import BulkKill, BulkResult, kill_chosen, kill_runs
from control_plane.command_side.desk import Desk
from control_plane.command_side.holding import HoldingCommands
from control_plane.command_side.registry import Applied, WorkflowRegistry
from control_plane.command_side.requests import (
    BreakpointRequest,
    BreakpointsRequest,
    ContinueRequest,
    DecideRequest,
    EvaluateRequest,
    ForceCompleteRequest,
    KillRequest,
    KillRunsRequest,
    PauseRequest,
    RestartRequest,
    Selector,
    StartRequest,
    StepRequest,
    VariableRequest,
    breakpoints_of,
)
from control_plane.command_side.runs import RunCommands
from control_plane.read_model import ReadModel
from runplane.bus import Bus
from runplane.contract.run import Actor
from runplane.contract.workflow import WorkflowDefinition


class CommandSide:
    """Everything that can be asked for. Raises the errors of :mod:`runplane.contract.errors`."""

    def __init__(self, bus: Bus, read_model: ReadModel) -> None:
        """Publish on ``bus``; decide in advance from ``read_model``."""
        desk = Desk(bus, read_model)
        self._runs = RunCommands(desk)
        self._registry = WorkflowRegistry(desk)
        self._read_model = read_model
        self.state_of = desk.state
        self.start_run = self._runs.start_run
        self.kill_run = self._runs.kill_run
        self.restart_run = self._runs.restart_run
        self.force_complete_run = self._runs.force_complete_run
        self.decide_run = self._runs.decide_run
        holding = HoldingCommands(desk)
        self.pause_run = holding.pause_run
        self.continue_run = holding.continue_run
        self.step_run = holding.step_run
        self.set_breakpoints = holding.set_breakpoints
        self.set_variable = holding.set_variable
        self.evaluate = holding.evaluate
        self.diagnose_run = holding.diagnose_run
        self.apply_workflow = self._registry.apply_workflow
        self.delete_workflow = self._registry.delete_workflow

    async def kill_runs(self, request: KillRunsRequest, actor: Actor, key: str | None = None) -> BulkKill:
        """Kill every open run that the selector matches, or say which it would be."""
        return await kill_runs(self._runs, self._read_model, request, actor, key)

    async def kill_chosen(
        self, run_ids: Sequence[str], order: KillRequest, actor: Actor, *, dry_run: bool = False
    ) -> list[BulkResult]:
        """Kill these runs, or say which of them would be killed; each has its own result."""
        return await kill_chosen(self._runs, self._read_model, run_ids, order, actor, dry_run=dry_run)


__all__ = [
    "Accepted",
    "Applied",
    "BreakpointRequest",
    "BreakpointsRequest",
    "BulkKill",
    "BulkResult",
    "CommandSide",
    "ContinueRequest",
    "DecideRequest",
    "EvaluateRequest",
    "ForceCompleteRequest",
    "KillRequest",
    "KillRunsRequest",
    "PauseRequest",
    "RestartRequest",
    "Selector",
    "StartRequest",
    "StepRequest",
    "VariableRequest",
    "WorkflowDefinition",
    "breakpoints_of",
]
