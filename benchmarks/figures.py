"""Figures of the samples: medians, the 95th percentile, and above all ratios to the floor and to the peer."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TARGETS = {"start": 1.5, "force": 2.0, "graceful": 2.0}
"""How many times the peer's median Runplane may take, with every order and every fact on disk before it counts."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One operation of one contender, in milliseconds. Ratios are of medians, None with nothing to divide by."""

    operation: str
    contender: str
    count: int
    median: float
    p95: float
    least: float
    to_floor: float | None
    to_peer: float | None

    @property
    def target(self) -> float | None:
        """The ratio to the peer that Runplane must keep to; None where none was set."""
        return TARGETS.get(self.operation) if self.contender == "runplane" else None

    @property
    def within_target(self) -> bool | None:
        """Whether it does; None where there is no target or no peer."""
        return None if self.target is None or self.to_peer is None else self.to_peer <= self.target


def figures(samples: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Figures]:
    """All of them, in the order of the samples; what was not measured is left out."""
    return [
        _figures(operation, contender, by_contender)
        for operation, by_contender in samples.items()
        for contender, own in by_contender.items()
        if own
    ]


def _figures(operation: str, contender: str, by_contender: Mapping[str, Sequence[float]]) -> Figures:
    own = sorted(by_contender[contender])
    median = statistics.median(own)
    return Figures(
        operation=operation,
        contender=contender,
        count=len(own),
        median=median,
        p95=own[min(len(own) - 1, int(0.95 * len(own)))],
        least=own[0],
        to_floor=_ratio(median, by_contender.get("floor")),
        to_peer=None if contender == "floor" else _ratio(median, by_contender.get("supervisor")),
    )


def _ratio(median: float, other: Sequence[float] | None) -> float | None:
    return median / statistics.median(other) if other else None
