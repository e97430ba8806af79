"""Runplane's SDK, for workflow code: every call is a cheap no-op outside a run (docs/sdk.md)."""

from runplane.sdk import (
    ShapeChanged,
    breakpoint,  # noqa: A004
    checkpoint,
    checkpoint_files,
    idempotency_key,
    last_checkpoint,
    progress,
    run,
    step,
    track,
    variables,
)

__all__ = [
    "ShapeChanged",
    "breakpoint",
    "checkpoint",
    "checkpoint_files",
    "idempotency_key",
    "last_checkpoint",
    "progress",
    "run",
    "step",
    "track",
    "variables",
]
