"""Debugging of Python programs by their lines: inside the workflow's process, and what the agent says to it."""
