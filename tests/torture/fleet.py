"""Agents of a test, each with a home, a host id and a pool of its own on the same broker; and what their runs did."""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.process.kernel import read_head
from agent.process.procfs import pids
from runplane.contract import subjects
from runplane.contract.value import Value
from tests.agent_process import AgentProcess
from tests.torture.log import Log

GONE_SECONDS = 10.0


class Host:
    """One agent and its place. ``agent`` may be killed and started at will."""

    def __init__(self, log: Log, url: str, place: Path, name: str, **settings: str) -> None:
        self.name = name
        self.log = log
        self.place = place
        place.mkdir()
        self.agent = AgentProcess(place / "home", url, host=name, **{"RUNPLANE_POOLS": name, **settings})
        self._numbers = itertools.count(1)

    async def start(self, *argv: str, **spec: Any) -> str:
        """Order a run that only this host may claim."""
        return await self.log.start(*argv, pool=self.name, **spec)

    async def order(self, data: Value, record_id: str | None = None) -> str:
        """Order something of a run that this host holds; the command's id."""
        run_id = str(getattr(data, "new_run_id", None) or getattr(data, "run_id", ""))
        sent = await self.log.order(data, subjects.host_command(self.name, run_id), record_id)
        return sent.id

    def file(self, name: str) -> Path:
        """A file for the runs of this host to write to."""
        return self.place / f"{next(self._numbers)}.{name}"

    def directory(self, run_id: str, attempt: int = 1) -> Path:
        """The run directory of an attempt."""
        return self.agent.home / "agent" / "runs" / run_id / str(attempt)


class Fleet:
    """The agents of one test."""

    def __init__(self, log: Log, url: str, place: Path) -> None:
        self.log = log
        self.url = url
        self.place = place
        self.hosts: list[Host] = []

    def host(self, name: str | None = None, **settings: str) -> Host:
        """One more; its agent is not started yet."""
        name = name or f"h{len(self.hosts) + 1}"
        host = Host(self.log, self.url, self.place / name, name, **settings)
        self.hosts.append(host)
        return host

    def end(self) -> list[str]:
        """Stop every agent. What of their runs lives on is named, and ended."""
        for host in self.hosts:
            host.agent.stop()
        deadline = time.monotonic() + GONE_SECONDS
        while (found := dict(_of(self.place))) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"{pid} {command}" for pid, command in found.items()]


def _of(place: Path) -> Iterator[tuple[int, str]]:
    """The processes of runs, by pid: their environment names the place."""
    for pid in pids():
        if pid != os.getpid() and b"RUNPLANE_DIR=" + os.fsencode(place) in read_head(f"/proc/{pid}/environ"):
            yield pid, read_head(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")
