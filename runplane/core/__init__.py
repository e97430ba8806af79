"""The three pure functions: ``decide``, ``apply``, ``initial``; the lifecycle table; the policies.

No clock, no randomness, no I/O. Replay, rebuild, time travel, the projection and the agent's own recovery all
call the same ``apply``.
"""
