"""``host_unreachable``: an open run whose host is not heard from has this condition, laid over it when it is read.

Why it is no record of the log. What is known is one thing, that a host is silent; written down for each run, a host
with a thousand runs would put a thousand records into the log when its network goes, a thousand more when it is back,
and all of them again with each flap. It is also no fact about the run, which goes on as far as anyone knows, but what
one control plane heard by its own clock: another replica may hear the host, and one that was started a second ago has
heard nobody. So it is derived from the heartbeats wherever a run is shown, is gone with the first one that comes, and
no policy acts on it: ``stuck.action`` is for what an agent has seen. What does belong into the log, that a run was
given up because its host stayed away, is decided with the status ``unreachable``.

Nobody is called silent before this process has listened for as long as a host may be silent, nor while it does not
reach the broker itself.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from control_plane.read_model.live import Live
from runplane.contract.run import HOST_UNREACHABLE, Condition, Run, Status

VERDICT: Final = HOST_UNREACHABLE
STUCK: Final = "stuck"
HELD: Final = (Status.STARTING, Status.RUNNING, Status.PAUSED, Status.TERMINATING, Status.UNREACHABLE)
"""The statuses in which a host holds a run."""


class Joined(NamedTuple):
    """When a host joined last, and whether its agent was stopped in good order since."""

    at: datetime
    left: bool


def with_unreachable(run: Run, live: Live, joined: Callable[[str], Joined | None]) -> Run:
    """The run with the condition where it has it: before the others, for what an agent saw earlier may be over."""
    if run.host is None or run.status not in HELD or is_heard(live, run.host):
        return run
    pulse, known = live.pulse(run.host), joined(run.host)
    since = pulse.last_seen if pulse is not None else (known.at if known is not None else run.created_at)
    left = known is not None and known.left
    condition = Condition(
        type=STUCK,
        verdict=VERDICT,
        since=since,
        detail=_detail(run.host, since, left=left),
        evidence={"host": run.host, "last_seen": since.isoformat(), "agent_was_stopped": left},
    )
    return run.model_copy(update={"conditions": (condition, *run.conditions)})


def is_heard(live: Live, host_id: str) -> bool:
    """Whether the host is heard from, or it is too early to say that it is not."""
    if not live.settled:
        return True
    pulse = live.pulse(host_id)
    return pulse is not None and pulse.online


def _detail(host: str, since: datetime, *, left: bool) -> str:
    why = " (its agent was stopped)" if left else ""
    return (
        f"host {host} is not heard from since {since:%Y-%m-%d %H:%M:%S} UTC{why}; the run lives on there as far as "
        "anyone knows, and orders to it wait: see runplane hosts"
    )
