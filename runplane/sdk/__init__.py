"""What a workflow tells its agent, and what it hears back, through the run directory (docs/run-directory.md).

Standard library only, and Python 3.8 or newer: this package also runs in the workflow's own interpreter.

- Outside a run (no ``RUNPLANE_DIR``) every call does nothing and costs about a microsecond.
- Reporting never ends a workflow: what cannot be written is said once on stderr. The exception is a checkpoint, which
  a later attempt will rely on: one that cannot be kept is an error.
- ``typing``, ``inspect`` and ``pathlib`` are not imported: each takes as long as the rest of this package.
"""

from runplane.sdk.calls import (
    breakpoint,  # noqa: A004
    checkpoint,
    checkpoint_files,
    idempotency_key,
    last_checkpoint,
    progress,
    run,
    track,
    variables,
)
from runplane.sdk.channel import ShapeChanged, report
from runplane.sdk.steps import step

__all__ = [
    "ShapeChanged",
    "breakpoint",
    "checkpoint",
    "checkpoint_files",
    "idempotency_key",
    "last_checkpoint",
    "progress",
    "report",
    "run",
    "step",
    "track",
    "variables",
]
