"""Who belongs to an attempt.

Rules:

- While the shim lives, every process of the attempt is below it: it is the subreaper, so no orphan gets past it. The
  cgroup says the same in another way; both are asked, since a privileged process can leave its cgroup.
- Without the shim, members are: those in the cgroup; those that carry the attempt's environment; those known from an
  earlier look; their children and their sessions. The session of the main process counts only while it is certain
  that its number was not given to somebody else: a process that this attempt did not start is never a member.
- Zombies are not members: nothing of them runs, and nothing can be done to them.
"""

import os
from pathlib import Path

from agent.process import procfs
from agent.process.cgroup import Cgroup
from agent.process.identity import ProcessIdentity, current_boot, is_alive
from agent.process.kernel import ZOMBIE_STATES, Stat, fork_count, pid_limit, read_stat
from agent.process.records import ProcessFacts
from agent.process.run_directory import ProcessRecord


def environment_of(run_id: str, attempt: int, directory: Path) -> dict[str, str]:
    """What every process of the attempt is started with; the three together name the attempt."""
    return {"RUNPLANE_RUN_ID": run_id, "RUNPLANE_ATTEMPT": str(attempt), "RUNPLANE_DIR": str(directory)}


class Census:
    """Counts the live processes of one attempt."""

    def __init__(self, record: ProcessRecord, cgroup: Cgroup | None) -> None:
        """``cgroup``: the attempt's, where it has one."""
        self._record = record
        self._cgroup = cgroup
        named = environment_of(record.run_id, record.attempt, record.directory)
        self._tags = [os.fsencode(f"{name}={value}") for name, value in named.items()]
        self._known: dict[int, int] = {}
        self.in_cgroup: set[int] = set()

    def members(self) -> list[ProcessFacts]:
        """Every live process of the attempt, the shim excepted. Without the shim all of ``/proc`` is looked through."""
        if self._record.main.boot_id != current_boot():
            return []
        shim_alive = self.shim_alive()
        self.in_cgroup = self._cgroup.members() if self._cgroup else set()
        found = {pid: stat for pid in self.in_cgroup if (stat := read_stat(pid))}
        if shim_alive:
            found |= procfs.descendants(self._record.shim.pid)
        else:
            found |= self._search(found)
        for keeper in (self._record.shim.pid if shim_alive else 0, os.getpid()):
            found.pop(keeper, None)
        members = [facts for stat in found.values() if (facts := procfs.facts(stat))]
        self._known = {facts.pid: facts.start_time for facts in members}
        return members

    def shim_alive(self) -> bool:
        """Whether this very shim runs."""
        return is_alive(self._record.shim)

    def identity(self, facts: ProcessFacts) -> ProcessIdentity:
        """The identity of a member."""
        return ProcessIdentity(boot_id=self._record.main.boot_id, pid=facts.pid, start_time=facts.start_time)

    def _search(self, found: dict[int, Stat]) -> dict[int, Stat]:
        everyone = procfs.table()
        members = found | {pid: stat for pid, stat in everyone.items() if self._is_certain(stat)}
        while True:
            sessions = {stat.session for stat in members.values()} | self._own_session(everyone)
            kin = {
                pid: stat
                for pid, stat in everyone.items()
                if pid not in members
                and (stat.ppid in members or stat.session in sessions)
                and stat.start_time >= self._record.main.start_time
            }
            if not kin:
                return members
            members |= kin

    def _is_certain(self, stat: Stat) -> bool:
        main = self._record.main
        if stat.start_time < main.start_time or stat.state in ZOMBIE_STATES:
            return False
        return (
            (stat.pid, stat.start_time) == (main.pid, main.start_time)
            or self._known.get(stat.pid) == stat.start_time
            or procfs.has_environment(stat.pid, self._tags)
        )

    def _own_session(self, everyone: dict[int, Stat]) -> set[int]:
        """The main process's session number, as long as it can mean no other session.

        The number is held while its leader is there, zombie or not. After that it could be given out again only once
        the pid counter has gone all the way round, and the count of forks since the launch bounds how far it went.
        """
        leader = everyone.get(self._record.session_id)
        if leader is not None:
            return {leader.pid} if leader.start_time == self._record.main.start_time else set()
        gone_round = fork_count() - self._record.forks > pid_limit() // 2
        return set() if gone_round else {self._record.session_id}
