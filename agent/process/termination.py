"""The end of a process tree: ask, kill, verify.

Rules: the tree is killed as a whole: by its cgroup where there is one, else frozen first and swept until nothing is
left, so that no member sees another die and starts it again. Only the kernel's word counts as gone. Nothing is waited
for by time alone.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterable
from typing import Protocol

from agent.process.census import Census
from agent.process.cgroup import Cgroup
from agent.process.ending import Ending
from agent.process.evidence import Evidence
from agent.process.identity import ProcessIdentity, send_signal
from agent.process.kernel import read_stat
from agent.process.pidfds import Pidfds, wait_ended
from agent.process.records import Method, ProcessFacts, Survivor, TreeEnded, VerifiedBy

_FREEZE_PASSES = 16
_RECORD_SECONDS = 2.0
_CONFIRM_SECONDS = 0.5
_CONFIRM_TRIES = 2
_STRIKE_SECONDS = 0.1


class Tree(Protocol):
    """What has to be known of an attempt to end it."""

    main: ProcessIdentity
    shim: ProcessIdentity
    rebooted: bool
    spawned_at: str
    gone: asyncio.Event
    control_group: Cgroup | None
    census: Census
    ending: Ending

    async def close_stdin(self) -> bool:
        """Close the main process's standard input."""


class Termination:
    """One attempt at ending one tree. ``run`` is called once."""

    def __init__(
        self,
        tree: Tree,
        *,
        signal: int,
        grace_seconds: float,
        force: bool,
        cut_short: Iterable[asyncio.Event],
        limit_seconds: float,
        keep_remains: bool,
    ) -> None:
        """``cut_short``: any of these ends the grace."""
        self._tree = tree
        self._signal = signal
        self._grace = grace_seconds
        self._method: Method = "force" if force else "graceful"
        self._cut_short = tuple(cut_short)
        self._limit = limit_seconds
        self._keep_remains = keep_remains
        self._evidence = Evidence(tree.census, tree.ending, tree.main, tree.spawned_at)
        self._verified_by: list[VerifiedBy] = []
        self._record_withheld = False

    async def run(self) -> TreeEnded:
        """Ask, kill, verify; the receipt says how it went."""
        if self._tree.rebooted:
            return self._receipt(verified=True)
        with self._evidence.pidfds:
            members = self._look()
            self._evidence.measure(members)
            if self._method == "graceful":
                await self._ask_main_to_end()
                members = self._look()
            verified = await self._kill_and_verify(members)
            await self._await_record()
            if verified and not self._keep_remains:
                self._evidence.remove_remains()
            return self._receipt(verified=verified)

    def _look(self) -> list[ProcessFacts]:
        return [] if self._tree.gone.is_set() else self._evidence.look()

    def _receipt(self, *, verified: bool) -> TreeEnded:
        return self._evidence.receipt(self._method, tuple(self._verified_by), verified=verified)

    async def _ask_main_to_end(self) -> None:
        main = self._tree.main
        facts, pidfd = self._evidence.seen.get(main), self._evidence.pidfds.get(main)
        if facts is None or pidfd is None or not self._evidence.ask(self._signal):
            return
        await self._tree.close_stdin()
        if self._tree.control_group is not None and self._tree.control_group.is_frozen():
            self._tree.control_group.thaw()
        self._evidence.send(main, self._signal)
        for member in self._evidence.seen.values():
            # A stopped process takes no other signal, and cannot help the main one to end.
            if member.state == "T":
                self._evidence.send(self._tree.census.identity(member), signal.SIGCONT)
        await self._wait_grace(pidfd)

    async def _wait_grace(self, pidfd: int) -> None:
        waits = [asyncio.ensure_future(wait_ended([pidfd], self._grace))]
        waits += [asyncio.ensure_future(event.wait()) for event in self._cut_short]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _kill_and_verify(self, members: list[ProcessFacts]) -> bool:
        """Strike and look again until the kernel says that nobody is there; False when the limit came first."""
        until = time.monotonic() + self._limit
        patience, again = _STRIKE_SECONDS, False
        while True:
            if not members and await self._verify():
                return True
            if members:
                self._strike(members, again=again)
                left = max(0.0, until - time.monotonic())
                # One that left its cgroup between the look and the kill was not struck: it is looked at again soon.
                again = not await self._evidence.pidfds.wait_all(min(patience, left))
                patience *= 2
                self._evidence.make_room()
            if time.monotonic() > until:
                return self._name_survivors()
            members = self._look()

    def _strike(self, members: list[ProcessFacts], *, again: bool) -> None:
        """SIGKILL to everyone, at once; ``again``, also to each by itself whom the cgroup should have taken with it."""
        if any(facts.pid == self._tree.main.pid for facts in members):
            self._evidence.ask(signal.SIGKILL)
        group, held = self._tree.control_group, self._tree.census.in_cgroup
        if group is not None and held and group.kill():
            for facts in members:
                if facts.pid in held:
                    self._evidence.note_signal(signal.SIGKILL, facts.pid)
            members = members if again else [facts for facts in members if facts.pid not in held]
        for facts in self._freeze(members):
            self._evidence.send(self._tree.census.identity(facts), signal.SIGKILL)

    def _freeze(self, members: list[ProcessFacts]) -> list[ProcessFacts]:
        """Stop them, and those born meanwhile, so that the killing is seen by nobody who could respawn."""
        stopped: dict[ProcessIdentity, ProcessFacts] = {}
        for _ in range(_FREEZE_PASSES):
            running = {
                who: facts for facts in members if (who := self._tree.census.identity(facts)) not in stopped
            }
            if not running:
                break
            for identity in running:
                self._evidence.send(identity, signal.SIGSTOP)
            stopped |= running
            members = self._look()
        return list(stopped.values())

    async def _verify(self) -> bool:
        """Nobody is seen: let the kernel confirm it by every means there is."""
        group, census = self._tree.control_group, self._tree.census
        self._verified_by.clear()
        if group is not None:
            if not await group.wait_empty(_CONFIRM_SECONDS):
                return False
            self._verified_by.append("cgroup")
        for _ in range(_CONFIRM_TRIES):
            if self._counted_out() or not census.shim_alive():
                break
            if self._look():
                return False
            self._wake_shim()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tree.gone.wait(), _CONFIRM_SECONDS)
        if not self._counted_out() and not census.shim_alive():
            self._tree.ending.read_record()  # it may have counted them out and ended before it was heard
        if self._counted_out():
            self._verified_by.append("subreaper")
        elif self._look():
            return False
        elif census.shim_alive():
            self._record_withheld = True  # only a zombie is left, which a debugger keeps from the shim
            self._verified_by.append("subreaper")
        else:
            self._verified_by += ["session", "environment"]
        return True

    def _counted_out(self) -> bool:
        """Whether the shim itself saw that it has no child left."""
        return self._tree.ending.counted_out

    def _wake_shim(self) -> None:
        """A shim that somebody stopped can record nothing."""
        stat = read_stat(self._tree.shim.pid)
        if stat is not None and stat.state == "T":
            with Pidfds() as shim:
                pidfd = shim.add(self._tree.shim)
                if pidfd is not None:
                    send_signal(pidfd, signal.SIGCONT)

    def _name_survivors(self) -> bool:
        """Who is still there, and why. True when it is nobody after all."""
        for facts in self._look():
            self._evidence.name_survivor(facts)
        group, survivors = self._tree.control_group, self._evidence.survivors
        if not survivors and group is not None and group.is_populated():
            why = f"{group.path} still holds a process that /proc does not show here (another pid namespace)"
            survivors.append(Survivor(pid=0, start_time=0, cmdline="", why=why))
        return not survivors

    async def _await_record(self) -> None:
        """The main process's true ending is known, or nobody can tell it."""
        if not self._evidence.survivors and not self._record_withheld:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tree.ending.ended.wait(), _RECORD_SECONDS)
