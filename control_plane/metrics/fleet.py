"""Hosts: how many are in which state, and what each of the first ``MAX_HOSTS`` carries."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from control_plane.context import Context
from control_plane.metrics.families import Values, counter, gauge
from control_plane.metrics.labels import MAX_HOSTS

_STATES = ("online", "draining", "absent")
_WINDOWS = ("1m", "5m", "15m")


def fleet(context: Context) -> Iterable[Metric]:
    """Figures of a host that was never heard from since this process started are left out."""
    views = context.read_model.hosts()
    counts = Counter(str(view.status) for view in views)
    states: Values = {(state,): counts.get(state, 0) for state in _STATES}
    yield gauge("runplane_hosts", "Hosts by state", states, "status")
    shown = views[:MAX_HOSTS]
    up: Values = {(view.host_id,): float(view.status != "absent") for view in shown}
    yield gauge("runplane_host_up", "Whether the host is heard from", up, "host")
    seen: Values = {(view.host_id,): view.last_seen.timestamp() for view in shown}
    yield gauge(
        "runplane_host_last_seen_timestamp_seconds", "When the host was heard from last", seen, "host"
    )
    runs: Values = {(view.host_id,): view.running for view in shown}
    yield gauge("runplane_host_runs", "Open runs that the host holds", runs, "host")
    slots: Values = {(view.host_id,): view.slots for view in shown}
    yield gauge("runplane_host_slots", "Runs that the host takes at once", slots, "host")
    cpus: Values = {(view.host_id,): view.cpus for view in shown}
    yield gauge("runplane_host_cpus", "Cores of the host", cpus, "host")
    memory: Values = {(view.host_id,): view.memory_bytes for view in shown}
    yield gauge("runplane_host_memory_bytes", "Memory of the host", memory, "host")
    available: Values = {
        (view.host_id,): view.memory_available_bytes
        for view in shown
        if view.memory_available_bytes is not None
    }
    yield gauge("runplane_host_memory_available_bytes", "Memory that is not in use", available, "host")
    load: Values = {
        (view.host_id, window): value
        for view in shown
        if view.load is not None
        for window, value in zip(_WINDOWS, view.load, strict=True)
    }
    yield gauge("runplane_host_load_average", "Load of the host", load, "host", "window")
    yield counter(
        "runplane_telemetry_unreadable_total",
        "Messages of hosts that were passed over since this process started",
        {(): context.telemetry.unreadable},
    )
