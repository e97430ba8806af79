"""How each target stands: what it is told of, how often that worked, and what became of the last notification."""

from control_plane.notifications.apprise_target import MISSING, is_installed
from control_plane.notifications.configuration import Configuration
from control_plane.notifications.settings import Target, place_of
from control_plane.read_model import EventFilter, ReadModel
from runplane.contract.events import NotificationDelivered, NotificationFailed
from runplane.contract.value import Moment, Value

_LOOKED_AT = 1_000

Result = NotificationDelivered | NotificationFailed


class LastResult(Value):
    """What became of the last notification to a target; ``error`` is empty where it was delivered."""

    seq: int
    at: Moment
    run_id: str | None
    about: str
    delivered: bool
    attempts: int
    status: int | None
    error: str


class TargetStanding(Value):
    """One target. ``to``: where it is, as far as everybody may see it; ``problem``: why nothing can be sent at all."""

    name: str
    kind: str
    to: str
    on: tuple[str, ...]
    workflows: tuple[str, ...]
    delivered: int
    failed: int
    last: LastResult | None
    problem: str = ""


def standing(configuration: Configuration, read_model: ReadModel) -> tuple[TargetStanding, ...]:
    """Every target of the configuration, in its order."""
    targets = configuration.current().targets
    if not targets:
        return ()
    last = _last_results(read_model)
    return tuple(_of(target, read_model, last.get(target.name)) for target in targets)


def _of(target: Target, read_model: ReadModel, last: LastResult | None) -> TargetStanding:
    counts = read_model.totals.notifications
    return TargetStanding(
        name=target.name,
        kind="webhook" if target.url is not None else "apprise",
        to=place_of(target),
        on=target.on,
        workflows=target.workflows,
        delivered=counts.get((target.name, "delivered"), 0),
        failed=counts.get((target.name, "failed"), 0),
        last=last,
        problem=MISSING if target.apprise is not None and not is_installed() else "",
    )


def _last_results(read_model: ReadModel) -> dict[str, LastResult]:
    """By target, among the last notifications of all."""
    found: dict[str, LastResult] = {}
    for kind in (NotificationDelivered, NotificationFailed):
        for seq, record in read_model.events(EventFilter(type=kind.__name__, newest=True, limit=_LOOKED_AT)):
            told = record.data
            if isinstance(told, Result) and (told.target not in found or found[told.target].seq < seq):
                found[told.target] = LastResult(
                    seq=seq,
                    at=record.time,
                    run_id=record.run_id,
                    about=told.about,
                    delivered=isinstance(told, NotificationDelivered),
                    attempts=told.attempts,
                    status=told.status,
                    error=told.error if isinstance(told, NotificationFailed) else "",
                )
    return found
