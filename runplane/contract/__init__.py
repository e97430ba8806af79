"""What is said on the wire and over HTTP: ids, errors, subjects, commands, events, runs and workflow files.

Everything here is a value. No clock, no randomness, no I/O.
"""
