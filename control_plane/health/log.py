"""Is what is shown what the log says: readiness, the distance between log and projection, records nobody can read."""

from control_plane.context import Context
from control_plane.health.check import Check, degraded, failed, ok

LAGGING_RECORDS = 1_000


async def readiness(context: Context) -> Check:
    """Whether requests are served as they should be."""
    why = context.not_ready()
    if why is None:
        return ok("readiness", "requests can be served")
    todo = "wait a moment; if it stays so, read the other checks and the control plane's log"
    return failed("readiness", why, todo)


async def projection(context: Context) -> Check:
    """How far the read model is behind the log."""
    name, position = "projection", context.read_model.position
    if context.projector.trouble is not None:
        todo = f"make room where {context.settings.directory} lies: it is tried again by itself"
        return failed(name, context.projector.trouble, todo, position=position)
    lag = await context.projector.lag()
    detail = f"{lag} records behind the log, which ends at {position + lag}"
    if lag < LAGGING_RECORDS:
        return ok(name, detail, position=position, lag=lag)
    todo = "wait: it catches up by itself. If the figure grows, the machine is too slow or its disk is"
    return degraded(name, detail, todo, position=position, lag=lag)


async def records(context: Context) -> Check:
    """Records of the log that cannot be read."""
    count = context.read_model.set_aside_count
    if not count:
        return ok("records", "every record of the log can be read", set_aside=0)
    last = context.read_model.set_aside(1)[0]
    detail = (
        f"{count} records cannot be read and were set aside; the last one is {last.seq}: {last.why[:200]}"
    )
    todo = (
        f"everything else goes on. Find out who wrote to {last.subject[:120]}; if it was a newer version, update "
        "this control plane: the records are read again then"
    )
    return degraded("records", detail, todo, set_aside=count, last_seq=last.seq)
