"""Figures for Prometheus: requests by route, and what the control plane holds, counted when it is asked for."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from runplane.contract.run import Status

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts requests by method, route and status."""

    def __init__(self) -> None:
        """A registry of its own, so that two applications in one process do not meet."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "runplane_http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "runplane_http_request_seconds",
            "Time until the whole answer was sent",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request. A route is its template, so that their number stays bounded."""
        method = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
        route = getattr(scope.get("route"), "path", None) or "none"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self.registry)


class PlaneCollector(Collector):
    """What the control plane holds at the moment of asking."""

    def __init__(
        self,
        *,
        runs: Callable[[], dict[str, int]],
        hosts: Callable[[], dict[str, int]],
        position: Callable[[], int],
        lag: Callable[[], int | None],
        set_aside: Callable[[], int],
        connected: Callable[[], bool],
    ) -> None:
        """Each figure is a function."""
        self._runs = runs
        self._hosts = hosts
        self._position = position
        self._lag = lag
        self._set_aside = set_aside
        self._connected = connected

    def collect(self) -> Iterable[Metric]:
        """The figures."""
        runs = GaugeMetricFamily("runplane_runs", "Runs by status", labels=["status"])
        counts = self._runs()
        for status in Status:
            runs.add_metric([status], counts.get(status, 0))
        yield runs
        hosts = GaugeMetricFamily("runplane_hosts", "Hosts by status", labels=["status"])
        for name, count in sorted(self._hosts().items()):
            hosts.add_metric([name], count)
        yield hosts
        yield GaugeMetricFamily(
            "runplane_log_position", "Log position that answers reflect", self._position()
        )
        lag = self._lag()
        if lag is not None:
            yield GaugeMetricFamily(
                "runplane_projection_lag_records", "Records stored and not yet projected", lag
            )
        yield CounterMetricFamily(
            "runplane_records_set_aside", "Log records that cannot be read", self._set_aside()
        )
        yield GaugeMetricFamily(
            "runplane_broker_connected", "Whether the broker is reached", int(self._connected())
        )
