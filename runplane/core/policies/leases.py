"""How long a run may go on without its host being heard from, and when it is given up. Pure.

The host ends what it cannot report on: softly after ``stop_after`` without contact, by its own clock, and for good
after :func:`hard_stop_after`. The control plane gives a run up after :func:`given_up_after` since it last heard of the
host, by the broker's clock; where the host ends its runs that is never before the host has. Both count seconds that
have passed, so neither clock has to be right; the one counts from when the last contact was sent, the other from when
it came.
"""

from typing import Final

from runplane.contract.spec import RunSpec

MARGIN_SECONDS: Final = 4.0
"""Between the last moment at which the host kills and the first at which another may begin."""


def hard_stop_after(spec: RunSpec) -> float:
    """Seconds without contact after which a run with a lease is killed by its host: the grace is over, or is cut short.

    The grace gives way where the workflow wants its runs given up sooner.
    """
    stop_after = spec.disconnect.stop_after or 0.0
    return max(stop_after, min(stop_after + spec.kill.grace, spec.disconnect.lost_after - MARGIN_SECONDS))


def given_up_after(spec: RunSpec) -> float:
    """Seconds since the host was heard from after which its run is lost."""
    if spec.disconnect.stop_after is None:
        return spec.disconnect.lost_after
    return max(spec.disconnect.lost_after, hard_stop_after(spec) + MARGIN_SECONDS)


def ends_by_itself(spec: RunSpec) -> bool:
    """Whether the host has ended the run by then, so that another attempt does not begin beside it."""
    return spec.disconnect.stop_after is not None
