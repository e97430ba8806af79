"""The folded state of one run: what users see of it, and what deciding about it needs."""

from typing import Any

from runplane.contract.debugging import Frame, Scope
from runplane.contract.events import Purpose, Until
from runplane.contract.run import Actor, Failure, Outcome, Resources, Run, Status, Surface
from runplane.contract.spec import RunSpec
from runplane.contract.value import Moment, Value


class Termination(Value):
    """An end under way: which command asked for it, for what purpose, and what is to be declared after it."""

    command_id: str | None = None
    purpose: Purpose
    force: bool
    reason: str | None = None
    requested_by: str
    via: Surface
    since: Moment
    grace_seconds: float = 0.0
    outcome: Outcome | None = None
    failure: Failure | None = None


class Debugging(Value):
    """What operators want of a run beside its course, and what it shows of itself.

    ``until``: how far it may go before it is held again, by whom that was asked in ``until_by``. ``edits`` are values
    to give to the workflow's variables, ``input_edits`` to the inputs of the step it is held at.
    """

    breakpoints_by: Actor | None = None
    until: Until | None = None
    until_by: Actor | None = None
    edits: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies defaults
    input_edits: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies defaults
    stop: int = 0
    scopes: tuple[Scope, ...] = ()
    stack: tuple[Frame, ...] = ()


class Anomaly(Value):
    """A record that could not be true when it came: kept, counted, and otherwise without effect."""

    seq: int
    type: str
    status: str | None = None
    why: str


class RunState(Value):
    """The state of one run. ``run`` is None until the run was asked for.

    ``event_seq`` is the log position of the run's last event: what a compare-and-set on its events expects.
    ``status_before`` is the status before the host fell silent.
    """

    run: Run | None = None
    spec: RunSpec | None = None
    event_seq: int = 0
    termination: Termination | None = None
    debugging: Debugging = Debugging()
    status_before: Status | None = None
    anomalies: tuple[Anomaly, ...] = ()

    @property
    def status(self) -> Status | None:
        """The status, or None while nobody asked for the run."""
        return self.run.status if self.run is not None else None


def view(state: RunState, resources: Resources | None = None) -> Run | None:
    """The run as users see it, with the last sample laid over it while the run is open."""
    if state.run is None or resources is None or state.run.status.ended or state.run.status is Status.PENDING:
        return state.run
    return state.run.model_copy(update={"resources": resources})
