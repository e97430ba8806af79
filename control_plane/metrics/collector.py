"""The figures of this control plane, read at the moment of asking."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from control_plane.context import Context
from control_plane.metrics.families import Values, counter, gauge, histogram
from control_plane.metrics.fleet import fleet
from control_plane.metrics.labels import MAX_WORKFLOWS, OTHER, VERDICTS, first_names
from control_plane.metrics.scrape import Scrape
from runplane.contract.envelope import COMMAND_TYPES, EVENT_TYPES
from runplane.contract.run import Status


class PlaneCollector(Collector):
    """``latest`` is what the scrape had to wait for."""

    def __init__(self, context: Context, version: str, latest: Callable[[], Scrape]) -> None:
        """Nothing is read before :meth:`collect`."""
        self._context = context
        self._version = version
        self._latest = latest

    def collect(self) -> Iterable[Metric]:
        """All figures."""
        scrape = self._latest()
        yield gauge(
            "runplane_build_info", "The version that serves; always 1", {(self._version,): 1}, "version"
        )
        yield from _runs(self._context)
        yield from _log(self._context, scrape)
        yield from fleet(self._context)
        yield _notifications(self._context)
        yield from _storage(self._context, scrape)


def _runs(context: Context) -> Iterable[Metric]:
    counts = context.read_model.status_counts()
    by_status: Values = {(str(status),): counts.get(status, 0) for status in Status}
    yield gauge("runplane_runs", "Runs by status, ended ones included", by_status, "status")
    stuck: Values = {(verdict,): 0 for verdict in (*VERDICTS, OTHER)}
    for verdict, count in context.read_model.stuck_counts().items():
        stuck[(verdict if verdict in VERDICTS else OTHER,)] += count
    awaiting: Values = {(): context.read_model.awaiting_count()}
    yield gauge("runplane_runs_awaiting_decision", "Runs that wait for an operator's decision", awaiting)
    yield gauge("runplane_runs_stuck", "Open runs that are stuck, by verdict", stuck, "verdict")
    totals = context.read_model.totals
    names = first_names((workflow for workflow, _ in totals.endings), MAX_WORKFLOWS)
    endings: Values = {}
    for (workflow, outcome), count in totals.endings.items():
        place = (workflow if workflow in names else OTHER, outcome)
        endings[place] = endings.get(place, 0) + count
    yield counter(
        "runplane_run_endings_total",
        "Runs that ended, by workflow and by the status they ended with first",
        endings,
        "workflow",
        "outcome",
    )
    yield histogram(
        "runplane_run_start_duration_seconds",
        "From the order to start a run to its first process",
        totals.starts,
    )
    yield histogram(
        "runplane_run_kill_duration_seconds",
        "From the order to kill a run to the proof that every process of it is gone",
        totals.kills,
    )


def _log(context: Context, scrape: Scrape) -> Iterable[Metric]:
    records = context.read_model.totals.records
    events: Values = {(kind,): records.get(kind, 0) for kind in sorted(EVENT_TYPES)}
    commands: Values = {(kind,): records.get(kind, 0) for kind in sorted(COMMAND_TYPES)}
    yield counter("runplane_events_total", "Events in the log, by type", events, "type")
    yield counter("runplane_commands_total", "Commands in the log, by type", commands, "type")
    yield gauge(
        "runplane_log_position", "Log position that answers reflect", {(): context.read_model.position}
    )
    if scrape.lag is not None:
        yield gauge(
            "runplane_projection_lag_records", "Records stored and not yet projected", {(): scrape.lag}
        )
    yield counter(
        "runplane_records_set_aside_total",
        "Records of the log that cannot be read",
        {(): context.read_model.set_aside_count},
    )
    yield counter(
        "runplane_records_given_up_total",
        "Records that the process manager could not handle since it was started",
        {(): context.process_manager.given_up},
    )
    yield gauge(
        "runplane_stream_subscribers",
        "Streams, pages and requests that follow the log",
        {(): context.read_model.subscribers},
    )


def _notifications(context: Context) -> Metric:
    names = [target.name for target in context.notifications.current().targets]
    found: Values = {(name, result): 0 for name in names for result in ("delivered", "failed")}
    for (target, result), count in context.read_model.totals.notifications.items():
        place = (target if target in names else OTHER, result)
        found[place] = found.get(place, 0) + count
    return counter(
        "runplane_notifications_total",
        "Notifications by target and by what became of them in the end",
        found,
        "target",
        "result",
    )


def _storage(context: Context, scrape: Scrape) -> Iterable[Metric]:
    connected: Values = {(): int(context.bus.connected)}
    yield gauge("runplane_broker_connected", "Whether the broker is reached", connected)
    stored: Values = {(name,): size for name, size in scrape.stored_bytes.items()}
    yield gauge("runplane_broker_stored_bytes", "What each stream of the broker takes", stored, "stream")
    free: Values = {(name,): sizes[0] for name, sizes in scrape.disks.items()}
    size: Values = {(name,): sizes[1] for name, sizes in scrape.disks.items()}
    yield gauge("runplane_disk_free_bytes", "Free where things are kept", free, "place")
    yield gauge("runplane_disk_size_bytes", "Size of the disk where things are kept", size, "place")
    if scrape.certificate_expiry is not None:
        yield gauge(
            "runplane_broker_certificate_expiry_timestamp_seconds",
            "Until when the broker's certificate is good",
            {(): scrape.certificate_expiry.timestamp()},
        )
