"""Policies: functions from a run's state and its configuration to a decision. Their callers act."""
