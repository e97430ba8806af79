"""The agent: one a host; it starts, holds, watches and ends the processes of runs."""
