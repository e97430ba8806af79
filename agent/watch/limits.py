"""Watches the limits of one attempt. Called by the keeper, for attempts that have any.

Rules: what the kernel enforces is asked of its counters; what it does not, is measured over the whole tree. Either way
a limit that was reached ends the run, and the failure says which, how it was seen, and what to change. Output is told
by whoever ships it, as it grows.
"""

import asyncio
from pathlib import Path

from agent.process.tree import AttemptProcess
from agent.watch.sampler import TreeSampler
from runplane.contract.run import Failure
from runplane.contract.units import show_size
from runplane.contract.workflow import Limits

LOOK_SECONDS = 0.5
_BY_KERNEL = "as the kernel enforced"
_BY_AGENT = "as the agent saw"


def reached_by_kernel(limits: Limits, process: AttemptProcess) -> Failure | None:
    """The limit that the kernel says was reached, if any."""
    reached = process.limits_reached
    if "memory" in reached and limits.memory is not None:
        return _memory(limits.memory, _BY_KERNEL)
    if "pids" in reached and limits.processes is not None:
        return _processes(limits.processes, _BY_KERNEL)
    return None


async def until_reached(limits: Limits, process: AttemptProcess) -> Failure:
    """Look twice a second until a limit on memory or processes is reached; for ever if none is."""
    sampler = TreeSampler()
    enforced = process.limits.enforced
    watched = (limits.memory is not None and "memory" not in enforced) or (
        limits.processes is not None and "pids" not in enforced
    )
    while True:
        failure = reached_by_kernel(limits, process)
        if failure is None and watched:
            failure = _reached(limits, process, sampler, enforced)
        if failure is not None:
            return failure
        await asyncio.sleep(LOOK_SECONDS)


class OutputCounter:
    """Adds up what the streams of an attempt hold."""

    def __init__(self, limit: int) -> None:
        """``limit`` in bytes, for all streams together."""
        self._limit = limit
        self._sizes: dict[str, int] = {}
        self._told = False

    def grown(self, stream: str, size: int, attempt: Path) -> Failure | None:
        """The stream holds ``size`` bytes now: the failure, once, when that is too much."""
        self._sizes[stream] = size
        if self._told or sum(self._sizes.values()) <= self._limit:
            return None
        self._told = True
        return Failure(
            kind="output_limit",
            message=f"it printed more than {show_size(self._limit)}, its limit for standard output and error together; "
            f"what it printed so far is kept in {attempt}: have it print less, or raise limits.output",
        )


def _reached(
    limits: Limits, process: AttemptProcess, sampler: TreeSampler, enforced: frozenset[str]
) -> Failure | None:
    sample = sampler.sample(facts.pid for facts in process.members())
    if sample is None:
        return None
    used = sample.resources
    if limits.memory is not None and "memory" not in enforced and used.rss_bytes > limits.memory:
        return _memory(limits.memory, _BY_AGENT)
    if limits.processes is not None and "pids" not in enforced and used.threads > limits.processes:
        return _processes(limits.processes, _BY_AGENT)
    return None


def _memory(limit: int, how: str) -> Failure:
    return Failure(
        kind="memory_limit",
        message=f"its processes together reached their limit of {show_size(limit)} of memory, {how}: find out what "
        f"takes so much, or raise limits.memory",
    )


def _processes(limit: int, how: str) -> Failure:
    return Failure(
        kind="process_limit",
        message=f"it reached its limit of {limit} processes and threads, {how}: find out what starts so many, or raise "
        f"limits.processes",
    )
