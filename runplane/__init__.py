"""Runplane's SDK, for workflow code: every call is a cheap no-op outside a run (docs/sdk.md)."""

from runplane.sdk import breakpoint, checkpoint, last_checkpoint, progress, run, step, track, variables  # noqa: A004

__all__ = ["breakpoint", "checkpoint", "last_checkpoint", "progress", "run", "step", "track", "variables"]
