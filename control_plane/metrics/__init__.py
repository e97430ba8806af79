"""Figures for Prometheus.

Names follow its conventions: base units (seconds, bytes), ``_total`` for what only grows. What only grows is counted
from the log, so it is the same after a restart. The number of series is bounded: no run has a label, workflows and
hosts have one up to a number, the rest are together under ``other``.
"""

from control_plane.metrics.collector import PlaneCollector
from control_plane.metrics.scrape import Scrape, look

__all__ = ["PlaneCollector", "Scrape", "look"]
