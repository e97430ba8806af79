"""Is the broker there, does it store, and does stored mean on disk?"""

from control_plane.context import Context
from control_plane.health.check import Check, degraded, failed, ok


async def broker(context: Context) -> Check:
    """Reached, storing, and where its log ends."""
    name = "broker"
    if not context.bus.connected:
        return failed(
            name,
            "the broker is not reached",
            "is nats-server running? `runplane up` starts its own; otherwise check RUNPLANE_NATS_URL and the network",
            connected=False,
        )
    last = await context.bus.last_seq()
    fault = await context.bus.storage_fault()
    if fault is not None:
        return failed(
            name,
            f"the broker stores nothing: {fault}",
            "make room on its disk: `up` then restarts its own, any other one must be restarted by hand",
            connected=True,
            last_seq=last,
            stores=False,
        )
    return ok(name, f"connected, the log ends at {last}", connected=True, last_seq=last)


async def durability(context: Context) -> Check:
    """Whether the broker syncs every write."""
    name = "durability"
    synced = await context.bus.sync_always()
    if synced is None:
        detail = "it cannot be known whether the broker syncs every write: set RUNPLANE_NATS_SYS_URL"
        return ok(name, detail, sync_always=None)
    if not synced:
        return degraded(
            name,
            "the broker does not sync every write: a power cut can lose accepted commands",
            "set `sync_interval: always` in the broker's jetstream configuration and restart it",
            sync_always=False,
        )
    return ok(name, "acknowledged means on disk", sync_always=True)
