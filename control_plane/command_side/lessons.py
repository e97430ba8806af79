"""What earlier runs of a workflow teach of the next one, handed to its agent with the order to start it.

So the agent knows it while the plane is away. Reading is bounded in runs and records, and done at most once a minute
for a workflow; a workflow whose thresholds are all given is not looked up.
"""

from time import monotonic

from control_plane.read_model import EventFilter, ReadModel, RunFilter
from runplane.contract.events import ProcessExited, StepCompleted
from runplane.contract.run import Status
from runplane.contract.spec import Learned, RunSpec
from runplane.core.policies.learning import learned

KEPT_SECONDS = 60.0
MOST_RUNS = 20
MOST_STEPS_A_RUN = 50
_MOST_WORKFLOWS = 10_000


class Lessons:
    """Of all workflows."""

    def __init__(self, read_model: ReadModel) -> None:
        """Nothing is read before :meth:`of`."""
        self._read_model = read_model
        self._kept: dict[str, tuple[float, Learned | None]] = {}

    def of(self, spec: RunSpec) -> Learned | None:
        """What is known for a run of this configuration; None where that is nothing, or nothing is asked."""
        if "auto" not in (spec.stuck.silent, spec.stuck.spinning, spec.stuck.step):
            return None
        moment = monotonic()
        kept = self._kept.get(spec.workflow)
        if kept is None or moment - kept[0] >= KEPT_SECONDS:
            if len(self._kept) >= _MOST_WORKFLOWS:
                self._kept.clear()
            kept = self._kept[spec.workflow] = (moment, self._read(spec.workflow))
        return kept[1]

    def _read(self, workflow: str) -> Learned | None:
        runs = self._read_model.runs(
            RunFilter(status=(Status.COMPLETED,), workflow=workflow, limit=MOST_RUNS)
        ).items
        quiet: list[float] = []
        steps: dict[str, list[float]] = {}
        for run in runs:
            if run.override is not None:
                continue  # somebody declared it completed: that teaches nothing
            for _, record in self._read_model.story(run.run_id, (ProcessExited.__name__,)):
                if isinstance(record.data, ProcessExited) and record.data.longest_quiet_seconds is not None:
                    quiet.append(record.data.longest_quiet_seconds)
            taken = EventFilter(
                run_id=run.run_id, type=StepCompleted.__name__, newest=True, limit=MOST_STEPS_A_RUN
            )
            for _, record in self._read_model.events(taken):
                if isinstance(record.data, StepCompleted) and record.data.duration_seconds is not None:
                    steps.setdefault(record.data.name, []).append(record.data.duration_seconds)
        return learned(quiet, steps)
