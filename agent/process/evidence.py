"""What is seen and done while a tree is ended, and the receipt made of it.

Rules: a process is written down, and held by a pidfd, before it is signalled; so its name, its memory and its ending
can be told when it is gone. A receipt has a bound: of very many processes, the first are named and the rest counted.
"""

import math
import resource
import time
from datetime import datetime

from agent.process import holdings, procfs, remains
from agent.process.census import Census
from agent.process.ending import Ending
from agent.process.identity import ProcessIdentity, has_ended, send_signal, wait_status_of
from agent.process.kernel import iso_now, signal_name
from agent.process.pidfds import Pidfds
from agent.process.records import (
    Method,
    ProcessEnd,
    ProcessFacts,
    Remains,
    SignalSent,
    Survivor,
    TreeEnded,
    VerifiedBy,
    exit_from_wait_status,
)

_MEASURED_PROCESSES = 50
_MEASURED_FILES = 2048
_MEASURE_SECONDS = 0.001
_MOST_NAMED = 200
_CMDLINE = 1024


class Evidence:
    """Of one termination. ``pidfds`` are to be closed by whoever is done with it."""

    def __init__(self, census: Census, ending: Ending, main: ProcessIdentity, spawned_at: str) -> None:
        """The clock starts here. ``spawned_at``: when the main process was started, by the machine's clock."""
        self.pidfds = Pidfds()
        self.seen: dict[ProcessIdentity, ProcessFacts] = {}
        self.survivors: list[Survivor] = []
        self.asked = ending.asked()
        self._census = census
        self._ending = ending
        self._main = main
        self._most_open = max(64, min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._signals: list[SignalSent] = []
        self._refused: set[int] = set()
        self._outcomes: dict[ProcessIdentity, str] = {}
        self._held = holdings.Holdings()
        self._removed = Remains()
        self._since = _moment(spawned_at)
        self._started_at = iso_now()
        self._started = time.monotonic()

    def look(self) -> list[ProcessFacts]:
        """Who is there now: written down and held, so that none can be taken for another."""
        members = self._census.members()
        for facts in members:
            identity = self._census.identity(facts)
            self.seen[identity] = facts
            if len(self.pidfds) < self._most_open:
                self.pidfds.add(identity)
        return members

    def measure(self, members: list[ProcessFacts]) -> None:
        """See what they hold, unless the tree is so large that it would delay its ending."""
        if len(members) <= _MEASURED_PROCESSES:
            pids = [facts.pid for facts in members]
            self._held = holdings.look(
                pids, since=self._since, files=_MEASURED_FILES, seconds=_MEASURE_SECONDS
            )

    def remove_remains(self) -> None:
        """Nobody is left: remove the sockets and the shared memory that the tree left, and count them.

        Not of a tree that had ended before anything of it was signalled.
        """
        if not self._signals:
            return
        pids = {identity.pid for identity in self.seen} | self._ending.reaped.keys()
        self._removed = remains.remove(self._held, pids, self._since)

    def ask(self, number: int) -> bool:
        """Note, before anything is done to it, that the main process is asked to end. False: it has ended already.

        On disk, since an agent that comes later could not know otherwise why the main process has ended.
        """
        pidfd = self.pidfds.get(self._main)
        if pidfd is None or has_ended(pidfd):
            return False
        if not self.asked:
            self.asked = True
            self._ending.note_asked({"signal": signal_name(number), "pid": self._main.pid, "at": iso_now()})
        return True

    def send(self, identity: ProcessIdentity, number: int) -> bool:
        """Signal a process that was seen. False when it is gone, or may not be signalled."""
        pidfd = self.pidfds.get(identity)
        if pidfd is None:
            return False
        try:
            sent = send_signal(pidfd, number)
        except PermissionError:
            self._refused.add(identity.pid)
            return False
        if sent:
            self.note_signal(number, identity.pid)
        return sent

    def note_signal(self, number: int, pid: int) -> None:
        """A signal that was sent, by us or by the kernel for us."""
        self._signals.append(SignalSent(signal=signal_name(number), pid=pid, at=iso_now()))

    def make_room(self) -> None:
        """Let go of the ended ones when there were more processes than can be held at once."""
        if len(self.pidfds) >= self._most_open:
            self._outcomes |= self._known_outcomes()
            self.pidfds.close()

    def name_survivor(self, facts: ProcessFacts) -> None:
        """One that is still there when the limit is over, and why."""
        why = procfs.why_alive(facts.pid)
        if facts.pid in self._refused:
            why = f"the agent may not signal it (it runs as another user); {why}"
        survivor = Survivor(
            pid=facts.pid, start_time=facts.start_time, cmdline=facts.cmdline[:_CMDLINE], why=why
        )
        self.survivors.append(survivor)

    def receipt(self, method: Method, verified_by: tuple[VerifiedBy, ...], *, verified: bool) -> TreeEnded:
        """All of it."""
        outcomes = self._outcomes | self._known_outcomes()
        alive = {(survivor.pid, survivor.start_time) for survivor in self.survivors}
        ended = {
            who: self.seen[who]
            for who in sorted(self.seen, key=self._rank)
            if (who.pid, who.start_time) not in alive
        }
        return TreeEnded(
            method=method,
            signals=tuple(self._signals[:_MOST_NAMED]),
            processes=tuple(_named(ended, outcomes)),
            survivors=tuple(self.survivors[:_MOST_NAMED]),
            verified=verified,
            verified_by=verified_by if verified else (),
            freed_rss_bytes=sum(facts.rss_bytes for facts in ended.values()),
            freed_open_files=self._held.open_files,
            listening_ports=self._held.listening_ports,
            remains=self._removed,
            started_at=self._started_at,
            ended_at=iso_now(),
            duration_ms=round((time.monotonic() - self._started) * 1000, 3),
            exit=self._ending.exit,
            asked=self.asked,
        )

    def _rank(self, who: ProcessIdentity) -> tuple[bool, int, int]:
        """The main process first, then in the order in which they were started."""
        return who != self._main, who.start_time, who.pid

    def _known_outcomes(self) -> dict[ProcessIdentity, str]:
        outcomes: dict[ProcessIdentity, str] = {}
        for identity in self.seen:
            pidfd = self.pidfds.get(identity)
            status = None if pidfd is None else wait_status_of(pidfd)
            if status is not None:
                code, name = exit_from_wait_status(status)
                outcomes[identity] = name or f"exit {code}"
            elif identity.pid in self._ending.reaped:
                outcomes[identity] = self._ending.reaped[identity.pid]
        if self._ending.exit is not None and self._main in self.seen:
            outcomes[self._main] = str(self._ending.exit)
        return outcomes


def _moment(text: str) -> float:
    """In seconds of the epoch; where it is not known, nothing was made since then."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return math.inf


def _named(
    ended: dict[ProcessIdentity, ProcessFacts], outcomes: dict[ProcessIdentity, str]
) -> list[ProcessEnd]:
    named = [
        ProcessEnd(
            pid=facts.pid,
            start_time=facts.start_time,
            cmdline=facts.cmdline[:_CMDLINE],
            exit=outcomes.get(identity, "gone"),
            rss_bytes=facts.rss_bytes,
        )
        for identity, facts in ended.items()
    ]
    if len(named) <= _MOST_NAMED:
        return named
    rest = named[_MOST_NAMED:]
    more = f"({len(rest)} more processes)"
    return [
        *named[:_MOST_NAMED],
        ProcessEnd(
            pid=0, start_time=0, cmdline=more, exit="gone", rss_bytes=sum(end.rss_bytes for end in rest)
        ),
    ]
