"""How runs that failed, or whose hosts were lost, go on: timers, attempts, recovery workflows.

Called by the composition root and the process manager.
"""
