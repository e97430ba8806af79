"""One attempt's process tree, as the agent sees it: its ending, its members, and how to end it.

Rules: ``process.json`` and ``exit.json`` are the truth; the connection to the shim only makes it known sooner. After a
reboot nothing is ever signalled, for the same pids belong to others. A shim that dies is noticed at once; from then
on the tree is followed without it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from agent.process.census import Census
from agent.process.cgroup import Cgroup
from agent.process.ending import Ending
from agent.process.freezer import FreezerCgroup
from agent.process.identity import current_boot
from agent.process.kernel import seconds_since
from agent.process.pidfds import Pidfds, wait_ended
from agent.process.records import ExitRecord, ProcessFacts, TreeEnded
from agent.process.run_directory import ProcessRecord, RunDirectory
from agent.process.shim_link import ShimLink
from agent.process.standstill import Standstill
from agent.process.termination import Termination

_ASK_SECONDS = 1.0
_COUNT_SECONDS = 1.0
_MOST_WATCHED = 256


class AttemptProcess:
    """A launched or adopted attempt. Made by the launcher. ``close`` lets go of it, and it lives on."""

    def __init__(self, directory: RunDirectory, record: ProcessRecord, link: ShimLink | None) -> None:
        """Needs the running loop: from here on the ends of the shim and the main process are watched."""
        self.run_id = record.run_id
        self.attempt = record.attempt
        self.directory = directory.path
        self._files = directory
        self.main = record.main
        self.shim = record.shim
        self.cgroup = record.cgroup
        self.mechanism = record.mechanism
        self.limits = record.limits
        self._limits_reached: frozenset[str] = frozenset()
        self.spawned_at = record.spawned_at
        self.rebooted = record.main.boot_id != current_boot()
        self.gone = asyncio.Event()
        self.control_group = _group_of(record)
        self.census = Census(record, self.control_group)
        self.standstill = Standstill(self.census, self.control_group, directory.held)
        self.ending = Ending(directory, record, link)
        self._link = link
        self._terminating = asyncio.Lock()
        self._hurry = asyncio.Event()
        self.ending.follow(self._shim_is_over)

    @property
    def exit(self) -> ExitRecord | None:
        """How the main process ended, as far as it is known now."""
        return self.ending.exit

    def age(self) -> float:
        """How many seconds ago the main process was started; whatever was done to the machine's clock since."""
        return seconds_since(self.main.start_time)

    @property
    def limits_reached(self) -> frozenset[str]:
        """The controllers whose limit was reached so far: ``memory`` or ``pids``."""
        told = frozenset(self.exit.limits_reached) if self.exit is not None else frozenset()
        return told | (self._limits_reached if self.gone.is_set() else self.limits.reached())

    @property
    def shim_alive(self) -> bool:
        """Whether the attempt's keeper runs; without it the exit code may stay unknown."""
        return self.census.shim_alive()

    async def wait_exit(self) -> ExitRecord | None:
        """Wait for the end of the main process. ``None``: it ended, and nobody could see how."""
        await self.ending.ended.wait()
        return self.ending.exit

    async def wait_gone(self) -> None:
        """Wait until every process of the attempt is gone, leftovers of the main one included."""
        while not self.gone.is_set():
            members = self.members()
            if members:
                await self._wait_for_some(members)
                continue
            # The shim counts them out at once, unless a debugger keeps a zombie: then looking twice has to do.
            await _either(self.gone.wait(), self.ending.shim_over.wait(), limit=_COUNT_SECONDS)
            if not self.members():
                self.settle()

    async def close_stdin(self) -> bool:
        """Close the main process's standard input. False when the shim cannot be asked (a dead one holds nothing)."""
        answer = await self._link.ask("close_stdin", _ASK_SECONDS) if self._link else None
        return answer is not None and "closed" in answer

    def members(self) -> list[ProcessFacts]:
        """Every live process of the attempt, the shim excepted."""
        return [] if self.gone.is_set() else self.census.members()

    def leftovers(self) -> list[ProcessFacts]:
        """Every live process of the attempt but the main one."""
        main = (self.main.pid, self.main.start_time)
        return [facts for facts in self.members() if (facts.pid, facts.start_time) != main]

    async def terminate(
        self,
        *,
        signal: int,
        grace_seconds: float,
        force: bool,
        escalate: asyncio.Event | None = None,
        limit_seconds: float = 5.0,
        keep_remains: bool = False,
    ) -> TreeEnded:
        """End the whole tree and prove it; to be called again, or ``wait_gone`` awaited, when ``verified`` is False.

        Graceful: standard input is closed, ``signal`` goes to the main process, and after the grace (or ``escalate``,
        or its end) everything left is killed. ``force``: everything at once, also when a graceful end is under way.
        What lives ``limit_seconds`` after SIGKILL is a survivor. The sockets and the shared memory that it leaves are
        removed, unless ``keep_remains`` or nothing of it was signalled: who ends by itself may mean them to stay.
        """
        if force:
            self._hurry.set()
        async with self._terminating:
            ended = await Termination(
                self,
                signal=signal,
                grace_seconds=grace_seconds,
                force=force,
                cut_short=(self._hurry, escalate or asyncio.Event()),
                limit_seconds=limit_seconds,
                keep_remains=keep_remains,
            ).run()
        if ended.verified:
            self.settle()
        return ended

    def settle(self) -> None:
        """Nobody is left: say so, and remove the cgroup, and what a shim that was killed has left behind."""
        if not self.gone.is_set():
            self.gone.set()
            if not self.rebooted:
                self._limits_reached |= self.limits.reached()
                self.limits.remove()
            if not self.shim_alive:
                self._files.remove_shim_files()
            if self.control_group is not None and not self.rebooted:
                self.control_group.remove()

    def close(self) -> None:
        """Let go: nothing is watched any more, no descriptor stays open, and the attempt lives on."""
        self.ending.close()
        if self._link is not None:
            self._link.close()
            self._link = None

    def _shim_is_over(self) -> None:
        if self.rebooted or self.ending.counted_out or not self.members():
            self.settle()

    async def _wait_for_some(self, members: list[ProcessFacts]) -> None:
        with Pidfds() as pidfds:
            opened = [pidfds.add(self.census.identity(facts)) for facts in members[:_MOST_WATCHED]]
            alive = [pidfd for pidfd in opened if pidfd is not None]
            await _either(wait_ended(alive, None), self.gone.wait(), limit=None)


def _group_of(record: ProcessRecord) -> Cgroup | None:
    if record.cgroup is None:
        return None
    return FreezerCgroup(record.cgroup) if record.mechanism == "freezer" else Cgroup(record.cgroup)


async def _either(*waits: Coroutine[Any, Any, Any], limit: float | None) -> None:
    """Until one of them is over, at most ``limit`` seconds; none is left behind."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
