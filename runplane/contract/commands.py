"""Commands: orders, imperative. Each is the ``data`` of an envelope whose ``type`` is the class's name.

``expires_at`` is a moment of the broker's clock: whoever decides asks the broker what time it is.
"""

from typing import Literal

from pydantic import Field, JsonValue

from runplane.contract.ids import HostId, RunId
from runplane.contract.run import Ending, Failure, Outcome, Resumption
from runplane.contract.spec import Breakpoint, RunSpec
from runplane.contract.value import Moment, Value

DebugMode = Literal["over", "into", "out"]
Decision = Literal["retry", "resume", "restart", "give_up"]
"""``retry`` begins where the workflow says, ``resume`` from the last checkpoint, ``restart`` from the beginning."""


class StartRun(Value):
    """Start a run (or its next attempt) by this resolved configuration.

    ``resume``: where an attempt goes on that does not begin at the beginning. ``recovers``: the run that failed and is
    the reason for this one.
    """

    run_id: RunId
    spec: RunSpec
    attempt: int = 1
    resume: Resumption | None = None
    recovers: RunId | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None


class KillRun(Value):
    """End the run's whole process tree and prove it; cancel it if no process exists yet."""

    run_id: RunId
    reason: str | None = None
    force: bool = False
    grace_seconds: float | None = None
    expires_at: Moment | None = None


class RestartRun(Value):
    """End the run if it is alive, then start ``new_run_id`` by ``spec``. Stands in the new run's story."""

    run_id: RunId
    new_run_id: RunId
    spec: RunSpec
    reason: str | None = None
    resume: bool = False
    force: bool = False
    grace_seconds: float | None = None
    expires_at: Moment | None = None


class ForceCompleteRun(Value):
    """Declare the run's outcome; its tree is ended first unless ``detach``."""

    run_id: RunId
    outcome: Outcome = "failed"
    reason: str | None = None
    detach: bool = False
    replace: bool = False
    expires_at: Moment | None = None


class EndAttempt(Value):
    """End the attempt's tree because of ``failure``; what becomes of the run its workflow says. Asked by policies."""

    run_id: RunId
    attempt: int
    ending: Ending
    failure: Failure


class DecideRun(Value):
    """What becomes of a run that waits for a decision, or for its next attempt: that attempt now, or none."""

    run_id: RunId
    decision: Decision
    reason: str | None = None


class PauseRun(Value):
    """Hold the run."""

    run_id: RunId
    reason: str | None = None


class ContinueRun(Value):
    """Let a held run go on."""

    run_id: RunId
    reason: str | None = None


class StepRun(Value):
    """Let a held run go on to the next boundary; where it is held at a line, over, into or out of it."""

    run_id: RunId
    mode: DebugMode = "over"


class SetBreakpoints(Value):
    """Replace the run's breakpoints."""

    run_id: RunId
    breakpoints: tuple[Breakpoint, ...] = ()


class SetVariables(Value):
    """Change variables of a run that is held at a boundary or a line. Without ``scope``: of the first that has them."""

    run_id: RunId
    values: dict[str, JsonValue] = Field(default_factory=dict)
    scope: str | None = None


class EvaluateExpression(Value):
    """Evaluate an expression of the program's language in a frame of a run that is held at a line; may change it."""

    run_id: RunId
    expression: str
    frame: int = 0


class DiagnoseRun(Value):
    """Look at what the run does and waits for; changes nothing of it."""

    run_id: RunId


class DrainHost(Value):
    """Let the host take no more runs."""

    host: HostId
    kill_runs: bool = False
    reason: str | None = None


class UndrainHost(Value):
    """Let the host take runs again."""

    host: HostId
    reason: str | None = None


Command = (
    StartRun
    | KillRun
    | RestartRun
    | ForceCompleteRun
    | EndAttempt
    | DecideRun
    | PauseRun
    | ContinueRun
    | StepRun
    | SetBreakpoints
    | SetVariables
    | EvaluateExpression
    | DiagnoseRun
    | DrainHost
    | UndrainHost
)
RunCommand = (
    StartRun
    | KillRun
    | RestartRun
    | ForceCompleteRun
    | EndAttempt
    | DecideRun
    | PauseRun
    | ContinueRun
    | StepRun
    | SetBreakpoints
    | SetVariables
    | EvaluateExpression
    | DiagnoseRun
)
