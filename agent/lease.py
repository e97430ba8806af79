"""The agent's lease on its runs: when it last reached the broker, by a clock that nobody sets.

A run whose workflow says ``disconnect.stop_after`` may go on for so long without contact, and is ended then, so that
it can begin anew elsewhere. Renewed by the heartbeat and by claims; read by the supervisor, and through a file by the
shims, which end what an agent that was killed cannot. What a former agent wrote there holds until contact is made anew.
"""

import logging
import time
from pathlib import Path
from typing import Any

from runplane.contract.spec import RunSpec
from runplane.core.policies.leases import hard_stop_after

_LONG_SECONDS = 5.0
log = logging.getLogger("agent.lease")


class Lease:
    """``file`` is written only while a run needs it."""

    def __init__(self, file: Path, boot_id: str) -> None:
        """Take over what a former agent wrote; where there is nothing, no run has a lease that could be over."""
        self._file = file
        self._boot_id = boot_id
        known = self._read()
        self._is_needed = known is not None
        self._contact = known if known is not None else clock()

    def renew(self, sent_at: float) -> bool:
        """The broker has stored what was sent at ``sent_at``, in seconds of :func:`clock`.

        Whether there had been no contact for so long before that others may have given up on this host.
        """
        gap = sent_at - self._contact
        self._contact = max(self._contact, sent_at)
        if self._is_needed:
            self._write()
        return gap > _LONG_SECONDS

    @property
    def elapsed(self) -> float:
        """Seconds without contact."""
        return clock() - self._contact

    def terms(self, spec: RunSpec, signal: int) -> dict[str, Any] | None:
        """What a shim has to know of it; None for a run without a lease."""
        if spec.disconnect.stop_after is None:
            return None
        if not self._is_needed:
            self._is_needed = True
            self._write()
        return {
            "file": str(self._file),
            "seconds": spec.disconnect.stop_after,
            "hard_seconds": hard_stop_after(spec),
            "signal": signal,
        }

    def _read(self) -> float | None:
        """When there was contact, as far as the file says; None where it says nothing of this start of the machine."""
        try:
            boot, _, moment = self._file.read_text().partition(" ")
            return float(moment) if boot == self._boot_id else None
        except (OSError, ValueError):
            return None

    def _write(self) -> None:
        """Replaced, so that whoever reads it finds it whole."""
        building = self._file.with_name(f".{self._file.name}")
        try:
            building.write_text(f"{self._boot_id} {self._contact:.3f}")
            building.replace(self._file)
        except OSError as error:
            log.warning("the lease cannot be renewed on disk: %s", error)


def clock() -> float:
    """Seconds since boot, those asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
