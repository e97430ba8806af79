"""Who is missing, and what is stuck."""

from collections import Counter
from datetime import datetime

from pydantic import JsonValue

from control_plane.context import Context
from control_plane.health.check import Check, degraded, ok
from control_plane.read_model import HostView, RunFilter
from control_plane.read_model.unreachable import VERDICT
from runplane.contract.run import OPEN, Condition, Run

NAMED = 10
"""So many are named; the others are counted."""
_LOOKED_AT = 200
"""Stuck runs among which the oldest is looked for: those that were asked for first."""


async def hosts(context: Context) -> Check:
    """Hosts by state. One that its operator stopped and that holds no run is not missed."""
    views = context.read_model.hosts()
    counts = Counter(host.status for host in views)
    absent = [host for host in views if host.status == "absent"]
    missed = [host for host in absent if host.running or not host.left]
    figures: dict[str, JsonValue] = {
        name: counts.get(name, 0) for name in ("online", "draining", "absent")
    } | {
        "absent_hosts": [
            {
                "host": host.host_id,
                "since": _iso(host.last_seen),
                "open_runs": host.running,
                "left": host.left,
            }
            for host in absent[:NAMED]
        ]
    }
    online = counts.get("online", 0)
    if missed:
        named = ", ".join(_named(host) for host in missed[:NAMED])
        more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
        todo = (
            "look at its machine and network, and start its agent there (`runplane agent`, or its service): "
            "its runs live on meanwhile. `runplane hosts` shows all"
        )
        return degraded("hosts", f"{online} online; not heard from: {named}{more}", todo, **figures)
    if not online:
        todo = "start an agent: `runplane agent` on the machine that is to run things, or `runplane up` here"
        return degraded("hosts", "no host is online: nothing starts until an agent joins", todo, **figures)
    return ok("hosts", f"{online} online", **figures)


async def stuck(context: Context) -> Check:
    """How many open runs are stuck, and the one that has been for longest."""
    page = context.read_model.runs(
        RunFilter(status=tuple(OPEN), stuck=True, sort="created_at", limit=_LOOKED_AT)
    )
    found = [(run, condition) for run in page.items if (condition := _stuck_of(run)) is not None]
    if not found:
        return ok("stuck", "no run is stuck", stuck=0)
    run, condition = min(found, key=lambda pair: pair[1].since)
    detail = (
        f"{_count(page.total, 'run')} stuck, {run.run_id} ({run.workflow}) for longest, since "
        f"{_iso(condition.since)}: {condition.detail or condition.verdict}"
    )
    todo = f"`runplane diagnose {run.run_id}`, then `runplane kill` or `runplane restart` it"
    if condition.verdict == VERDICT:
        todo = f"`runplane hosts`, and start the agent of host {run.host}"
    todo += "; `runplane ps --stuck` lists all"
    return degraded(
        "stuck",
        detail,
        todo,
        stuck=page.total,
        oldest_run_id=run.run_id,
        oldest_since=_iso(condition.since),
        oldest_verdict=condition.verdict,
    )


def _named(host: HostView) -> str:
    how = "stopped" if host.left else "absent"
    held = f", with {_count(host.running, 'open run')}" if host.running else ""
    return f"{host.host_id} ({how} since {_iso(host.last_seen)}{held})"


def _stuck_of(run: Run) -> Condition | None:
    return next((condition for condition in run.conditions if condition.type == "stuck"), None)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
