"""What is shown of a run's variables, and what is doubtful of breakpoints before they are reached. For the API."""

from control_plane.read_model import EventFilter, ReadModel, RunFilter
from runplane.contract.debugging import Scope, Variables, shortened
from runplane.contract.errors import NotFound
from runplane.contract.events import StepStarted
from runplane.contract.run import Run
from runplane.contract.spec import Breakpoint
from runplane.core.debugging import STEP
from runplane.core.state import Debugging

_EARLIER_RUNS = 5
_MOST_STEPS = 200


def chosen(
    run_id: str, debugging: Debugging, at: str | None, *, scope: str | None, name: str | None, limit: int
) -> Variables:
    """The scopes asked for, each value cut to ``limit`` bytes of JSON. NotFound for what is not there."""
    scopes = tuple(one for one in debugging.scopes if scope in (None, one.name))
    if scope is not None and not scopes:
        there = ", ".join(one.name for one in debugging.scopes) or "none"
        raise NotFound(
            f"{run_id} shows no scope {scope!r} now (there are: {there}): see runplane vars {run_id}",
            code="scope_not_found",
            run_id=run_id,
            field="scope",
            value=scope[:80],
        )
    shown = tuple(
        Scope(
            name=one.name,
            variables=tuple(shortened(each, limit) for each in one.variables if name in (None, each.name)),
        )
        for one in scopes
    )
    if name is not None and not any(one.variables for one in shown):
        there = ", ".join(each.name for one in scopes for each in one.variables)[:500] or "none"
        raise NotFound(
            f"{run_id} shows no variable {name!r} now (there are: {there}): see runplane vars {run_id}",
            code="variable_not_found",
            run_id=run_id,
            field="name",
            value=name[:80],
        )
    return Variables(held_at=at, scopes=shown, stack=debugging.stack if at is not None else ())


def notes_on(read_model: ReadModel, run: Run, points: tuple[Breakpoint, ...]) -> tuple[str, ...]:
    """A sentence for each breakpoint at a step that neither this run nor one of the last few has reported."""
    wanted = [one.location for one in points if one.location.startswith(STEP) and one.location != "step:*"]
    if not wanted:
        return ()
    earlier = read_model.runs(RunFilter(workflow=run.workflow, limit=_EARLIER_RUNS)).items
    seen: dict[str, None] = {}
    for run_id in dict.fromkeys([run.run_id, *(one.run_id for one in earlier)]):
        begun = EventFilter(run_id=run_id, type=StepStarted.__name__, limit=_MOST_STEPS)
        for _, record in read_model.events(begun):
            if isinstance(record.data, StepStarted):
                seen[record.data.name] = None
    known = f"seen: {', '.join(list(seen)[:20])}" if seen else "it has reported no steps at all"
    return tuple(
        f"{location}: no run of {run.workflow} has reported this step lately ({known}). The breakpoint is set, and "
        f"holds should the step come"
        for location in wanted
        if location.removeprefix(STEP) not in seen
    )
