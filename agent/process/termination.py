"""The end of a process tree: ask, kill, verify, and write down what was seen.

Rules: before any signal the members are written down, so the receipt can name them. The tree is killed as a whole:
by its cgroup where there is one, else frozen first and swept until nothing is left, so that no member sees another
die and starts it again. Only the kernel's word counts as gone. Nothing is waited for by time alone.
"""

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import Iterable
from typing import Protocol

from agent.process import procfs
from agent.process.census import Census
from agent.process.cgroup import Cgroup
from agent.process.ending import Ending
from agent.process.identity import ProcessIdentity, send_signal, wait_status_of
from agent.process.kernel import iso_now, read_stat, signal_name
from agent.process.pidfds import Pidfds, wait_ended
from agent.process.records import (
    Method,
    ProcessEnd,
    ProcessFacts,
    SignalSent,
    Survivor,
    TreeEnded,
    VerifiedBy,
    exit_from_wait_status,
)

_FREEZE_PASSES = 16
_RECORD_SECONDS = 2.0
_CONFIRM_SECONDS = 0.5
_MEASURED_PROCESSES = 50
_MEASURED_FILES = 2048
_MEASURE_SECONDS = 0.001


class Tree(Protocol):
    """What has to be known of an attempt to end it."""

    main: ProcessIdentity
    shim: ProcessIdentity
    rebooted: bool
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
    ) -> None:
        """``cut_short``: any of these ends the grace."""
        self._tree = tree
        self._signal = signal
        self._grace = grace_seconds
        self._method: Method = "force" if force else "graceful"
        self._cut_short = tuple(cut_short)
        self._limit = limit_seconds
        self._pidfds = Pidfds()
        self._most_open = max(64, min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._seen: dict[ProcessIdentity, ProcessFacts] = {}
        self._outcomes: dict[ProcessIdentity, str] = {}
        self._refused: set[int] = set()
        self._signals: list[SignalSent] = []
        self._survivors: list[Survivor] = []
        self._verified_by: list[VerifiedBy] = []
        self._withheld = False
        self._measured: tuple[int, tuple[int, ...]] = (0, ())
        self._started_at = iso_now()
        self._started = time.monotonic()

    async def run(self) -> TreeEnded:
        """Ask, kill, verify; the receipt says how it went."""
        if self._tree.rebooted:
            return self._receipt(verified=True)
        with self._pidfds:
            self._measure(self._look())
            if self._method == "graceful":
                await self._ask_main_to_end()
            verified = await self._kill_and_verify()
            await self._await_record()
            return self._receipt(verified=verified)

    def _look(self) -> list[ProcessFacts]:
        """Write down who is there, and hold a pidfd of each so that it cannot be taken for another."""
        members = [] if self._tree.gone.is_set() else self._tree.census.members()
        for facts in members:
            identity = self._tree.census.identity(facts)
            self._seen[identity] = facts
            if len(self._pidfds) < self._most_open:
                self._pidfds.add(identity)
        return members

    def _measure(self, members: list[ProcessFacts]) -> None:
        if len(members) <= _MEASURED_PROCESSES:
            pids = [facts.pid for facts in members]
            self._measured = procfs.open_files_and_ports(
                pids, files=_MEASURED_FILES, seconds=_MEASURE_SECONDS
            )

    async def _ask_main_to_end(self) -> None:
        facts = self._seen.get(self._tree.main)
        pidfd = self._pidfds.get(self._tree.main)
        if facts is None or pidfd is None:
            return
        await self._tree.close_stdin()
        if self._tree.control_group is not None and self._tree.control_group.is_frozen():
            self._tree.control_group.thaw()
        if self._send(self._tree.main, self._signal) and facts.state == "T":
            self._send(self._tree.main, signal.SIGCONT)  # a stopped process takes no other signal
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

    async def _kill_and_verify(self) -> bool:
        """Strike and look again until the kernel says that nobody is there; False when the limit came first."""
        until = time.monotonic() + self._limit
        while True:
            members = self._look()
            if not members and await self._verify():
                return True
            if members:
                self._strike(members)
                await self._pidfds.wait_all(max(0.0, until - time.monotonic()))
                self._harvest()
            if time.monotonic() > until:
                return self._name_survivors()

    def _strike(self, members: list[ProcessFacts]) -> None:
        """SIGKILL to everyone, at once."""
        group = self._tree.control_group
        held = self._tree.census.in_cgroup if group is not None else set()
        if group is not None and held and group.kill():
            at = iso_now()
            self._signals += [
                SignalSent(signal="SIGKILL", pid=m.pid, at=at) for m in members if m.pid in held
            ]
            members = [facts for facts in members if facts.pid not in held]
        elif group is None:
            members = self._freeze(members)
        for facts in members:
            self._send(self._tree.census.identity(facts), signal.SIGKILL)

    def _freeze(self, members: list[ProcessFacts]) -> list[ProcessFacts]:
        """Stop everyone, and those born meanwhile, so that the killing is seen by nobody who could respawn."""
        stopped: set[ProcessIdentity] = set()
        for _ in range(_FREEZE_PASSES):
            running = [facts for facts in members if self._tree.census.identity(facts) not in stopped]
            if not running:
                break
            for facts in running:
                identity = self._tree.census.identity(facts)
                self._send(identity, signal.SIGSTOP)
                stopped.add(identity)
            members = self._look()
        return members

    def _send(self, identity: ProcessIdentity, number: int) -> bool:
        pidfd = self._pidfds.get(identity)
        if pidfd is None:
            return False
        try:
            sent = send_signal(pidfd, number)
        except PermissionError:
            self._refused.add(identity.pid)
            return False
        if sent:
            self._signals.append(SignalSent(signal=signal_name(number), pid=identity.pid, at=iso_now()))
        return sent

    def _harvest(self) -> None:
        """Make room for more pidfds when there were too many processes for one look."""
        if len(self._pidfds) >= self._most_open:
            self._outcomes |= self._known_outcomes()
            self._pidfds.close()

    def _name_survivors(self) -> bool:
        """Who is still there, and why. True when it is nobody after all."""
        for facts in self._look():
            why = procfs.why_alive(facts.pid)
            if facts.pid in self._refused:
                why = f"the agent may not signal it (it runs as another user); {why}"
            survivor = Survivor(pid=facts.pid, start_time=facts.start_time, cmdline=facts.cmdline, why=why)
            self._survivors.append(survivor)
        group = self._tree.control_group
        if not self._survivors and group and group.is_populated():
            why = f"{group.path} still holds a process that /proc does not show here (another pid namespace)"
            self._survivors.append(Survivor(pid=0, start_time=0, cmdline="", why=why))
        return not self._survivors

    async def _verify(self) -> bool:
        """Nobody is seen: let the kernel confirm it by every means there is."""
        group, census = self._tree.control_group, self._tree.census
        self._verified_by.clear()
        if group is not None:
            if not await group.wait_empty(_CONFIRM_SECONDS):
                return False
            self._verified_by.append("cgroup")
        for _ in range(2):
            self._wake_shim()
            if census.shim_alive() and not self._counted_out():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._tree.gone.wait(), _CONFIRM_SECONDS)
        if self._counted_out():
            self._verified_by.append("subreaper")
        elif self._look():
            return False
        elif census.shim_alive():
            self._withheld = True  # only a zombie is left, which a debugger keeps from the shim
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

    async def _await_record(self) -> None:
        """The main process's true ending is known, or nobody can tell it."""
        if not self._survivors and not self._withheld:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tree.ending.ended.wait(), _RECORD_SECONDS)

    def _known_outcomes(self) -> dict[ProcessIdentity, str]:
        outcomes: dict[ProcessIdentity, str] = {}
        for identity in self._seen:
            pidfd = self._pidfds.get(identity)
            status = None if pidfd is None else wait_status_of(pidfd)
            if status is not None:
                code, name = exit_from_wait_status(status)
                outcomes[identity] = name or f"exit {code}"
            elif identity.pid in self._tree.ending.reaped:
                outcomes[identity] = self._tree.ending.reaped[identity.pid]
        if self._tree.ending.exit is not None and self._tree.main in self._seen:
            outcomes[self._tree.main] = str(self._tree.ending.exit)
        return outcomes

    def _receipt(self, *, verified: bool) -> TreeEnded:
        outcomes = self._outcomes | self._known_outcomes()
        alive = {(survivor.pid, survivor.start_time) for survivor in self._survivors}
        ended = [facts for facts in self._seen.values() if (facts.pid, facts.start_time) not in alive]
        files, ports = self._measured
        return TreeEnded(
            method=self._method,
            signals=tuple(self._signals),
            processes=tuple(
                ProcessEnd(
                    pid=facts.pid,
                    start_time=facts.start_time,
                    cmdline=facts.cmdline,
                    exit=outcomes.get(self._tree.census.identity(facts), "gone"),
                    rss_bytes=facts.rss_bytes,
                )
                for facts in ended
            ),
            survivors=tuple(self._survivors),
            verified=verified,
            verified_by=tuple(self._verified_by) if verified else (),
            freed_rss_bytes=sum(facts.rss_bytes for facts in ended),
            freed_open_files=files,
            listening_ports=ports,
            started_at=self._started_at,
            ended_at=iso_now(),
            duration_ms=round((time.monotonic() - self._started) * 1000, 3),
            exit=self._tree.ending.exit,
        )
