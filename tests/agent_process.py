"""A real agent for tests: started, killed, started again on the same home; and a bench that orders and looks on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runplane.bus import Bus
from runplane.contract import subjects
from runplane.contract.commands import DiagnoseRun, StartRun
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.envelope import Envelope
from runplane.contract.events import DiagnosisTaken
from runplane.contract.run import Actor, Run
from runplane.contract.spec import RunSpec
from runplane.contract.value import Value
from runplane.core.fold import fold
from runplane.core.state import RunState
from runplane.stamp import new_run_id, stamp

LIMIT = 20.0
OPERATOR = Actor(principal="operator", surface="cli")


class AgentProcess:
    """``python -m agent.main`` on a home of its own."""

    def __init__(self, home: Path, nats_url: str, host: str = "h1", **settings: str) -> None:
        self.home = home
        self.host = host
        self.log = home / "agent.log"
        self._environment = {
            **os.environ,
            "RUNPLANE_HOME": str(home),
            "RUNPLANE_NATS_URL": nats_url,
            "RUNPLANE_HOST_ID": host,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> Path:
        return self.home / "agent" / "journal" / "journal"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, **settings: str) -> None:
        """Start it; ``settings`` are for this start alone."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.main"],
                env=self._environment | settings,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT)
            self._process = None

    def stop(self) -> int | None:
        """End it in order; its exit code."""
        if self._process is None:
            return None
        deadline = time.monotonic() + LIMIT
        while self._process.poll() is None and not catches(self._process.pid, signal.SIGTERM):
            assert time.monotonic() < deadline, f"the agent has not begun:\n{self.log.read_text()}"
            time.sleep(0.005)
        self._process.terminate()
        try:
            return self._process.wait(LIMIT)
        finally:
            self.kill()

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def wait(self) -> int:
        """Wait until it ends by itself."""
        assert self._process is not None
        return self._process.wait(LIMIT)


class Bench:
    """Publishes orders as the control plane would, and folds what comes of them from the log."""

    def __init__(self, bus: Bus, host: str = "h1") -> None:
        self.bus = bus
        self.host = host

    async def start(
        self, *argv: str, run_id: str | None = None, pool: str = "default", **spec: object
    ) -> str:
        run_id = run_id or new_run_id()
        resolved = RunSpec.model_validate(
            {"workflow": "w", "workflow_version": 1, "argv": argv, "workspace": "/", **spec}
        )
        await self.order(StartRun(run_id=run_id, spec=resolved), subjects.pool_command(pool, run_id))
        return run_id

    async def order(self, data: Value, subject: str | None = None, record_id: str | None = None) -> str:
        """Publish an order, by default to the host; the command id."""
        run_id = str(getattr(data, "new_run_id", None) or getattr(data, "run_id", ""))
        envelope = stamp(
            data,
            subject=subject or subjects.host_command(self.host, run_id),
            source="test",
            actor=OPERATOR,
            record_id=record_id,
        )
        await self.bus.publish(envelope)
        return envelope.id

    async def state(self, run_id: str) -> RunState:
        return fold(await self.bus.story(run_id))

    async def story(self, run_id: str) -> list[str]:
        return [record.type for _, record in await self.bus.story(run_id)]

    async def until(self, run_id: str, holds: Callable[[Run], bool], limit: float = LIMIT) -> Run:
        """Wait for a condition on the folded run."""
        deadline = time.monotonic() + limit
        while True:
            state = await self.state(run_id)
            if state.run is not None and holds(state.run):
                return state.run
            assert time.monotonic() < deadline, f"{run_id} is {state.status}: {await self.story(run_id)}"
            await asyncio.sleep(0.01)

    async def running(self, run_id: str) -> Run:
        return await self.until(run_id, lambda run: run.status == "running")

    async def ended(self, run_id: str, limit: float = LIMIT) -> Run:
        return await self.until(run_id, lambda run: run.status.ended, limit)

    async def told(self, run_id: str, record: str, count: int = 1) -> list[str]:
        """Wait until a record of this type stands in the run's story."""
        deadline = time.monotonic() + LIMIT
        while (story := await self.story(run_id)).count(record) < count:
            assert time.monotonic() < deadline, f"{run_id}: no {record} in {story}"
            await asyncio.sleep(0.01)
        return story

    async def diagnosed(self, run_id: str) -> tuple[Envelope, Diagnosis]:
        """Ask for a diagnosis; the record by which it was answered, and what it says."""
        command_id = await self.order(DiagnoseRun(run_id=run_id))
        deadline = time.monotonic() + LIMIT
        while True:
            for _, record in await self.bus.story(run_id):
                if isinstance(record.data, DiagnosisTaken) and record.command_id == command_id:
                    return record, record.data.diagnosis
            assert time.monotonic() < deadline, f"{run_id}: no diagnosis in {await self.story(run_id)}"
            await asyncio.sleep(0.01)

    async def output(self, run_id: str, stream: str = "stdout") -> bytes:
        """All that was printed, once the end of the stream has been shipped."""
        deadline = time.monotonic() + LIMIT
        while True:
            chunks = await self.bus.read_once(
                subjects.OUTPUT_STREAM, subjects.run_output(run_id, None, stream)
            )
            if chunks and "Rp-End" in chunks[-1].headers:
                return b"".join(chunk.payload for chunk in chunks)
            assert time.monotonic() < deadline, f"{run_id}: {len(chunks)} chunks and no end"
            await asyncio.sleep(0.01)


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal: one that is only just starting dies of it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def alive(pid: int) -> bool:
    """Whether a process of this pid exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False
