"""Families of figures, as Prometheus takes them: each function makes one of plain values."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from control_plane.read_model.totals import BOUNDS, Durations

Values = dict[tuple[str, ...], float]
"""A figure by the values of its labels; ``()`` where it has none."""


def gauge(name: str, help: str, values: Values, *labels: str) -> Metric:
    """What may go up and down, by label values."""
    family = GaugeMetricFamily(name, help, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def counter(name: str, help: str, values: Values, *labels: str) -> Metric:
    """What only grows, by label values."""
    family = CounterMetricFamily(name, help, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def histogram(name: str, help: str, durations: Durations) -> Metric:
    """How many took at most so long."""
    family = HistogramMetricFamily(name, help)
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), durations.counts, strict=True):
        below += count
        buckets.append((bound, below))
    family.add_metric([], buckets=buckets, sum_value=durations.sum_seconds)
    return family
