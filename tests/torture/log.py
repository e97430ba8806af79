"""The log as a test sees it: followed once, folded as it comes, waited on without asking the broker again and again."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from runplane.bus import Bus
from runplane.contract import subjects
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.events import CommandRejected
from runplane.contract.run import Actor, Run
from runplane.contract.spec import RunSpec
from runplane.contract.value import Value
from runplane.core.fold import apply, initial
from runplane.core.state import RunState
from runplane.stamp import new_run_id, stamp

LIMIT = 60.0
OPERATOR = Actor(principal="operator", surface="cli")
ENDINGS = frozenset(
    {"RunCompleted", "RunFailed", "RunKilled", "RunCanceled", "RunTimedOut", "RunLost", "OutcomeOverridden"}
)


class Log:
    """``records`` of a run in log order, and its folded ``state``."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._states: dict[str, RunState] = defaultdict(initial)
        self._records: dict[str, list[tuple[int, Envelope]]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._position = 0

    @classmethod
    @asynccontextmanager
    async def follow(cls, bus: Bus) -> AsyncIterator["Log"]:
        log = cls(bus)
        following = asyncio.create_task(log._follow(), name="log")
        try:
            yield log
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self) -> None:
        async with self.bus.read_log() as reader:
            async for batch in reader:
                for message in batch:
                    self._position = message.seq
                    try:
                        record = parse(message.payload, message.subject)
                    except Unreadable:
                        continue
                    run_id = message.subject.rsplit(".", 1)[-1]
                    self._records[run_id].append((message.seq, record))
                    self._states[run_id] = apply(self._states[run_id], record, message.seq)
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()

    def state(self, run_id: str) -> RunState:
        return self._states[run_id]

    def run(self, run_id: str) -> Run:
        run = self._states[run_id].run
        assert run is not None
        return run

    def records(self, run_id: str) -> list[tuple[int, Envelope]]:
        """The run's records, with their positions."""
        return self._records[run_id]

    def story(self, run_id: str) -> list[str]:
        return [record.type for _, record in self._records[run_id]]

    def told_why(self, run_id: str, command: str) -> dict[str, Any]:
        """The detail with which an order of the run's story was refused."""
        sent = {record.command_id for _, record in self._records[run_id] if record.type == command}
        for records in self._records.values():
            for _, record in records:
                if isinstance(record.data, CommandRejected) and record.command_id in sent:
                    return record.data.detail
        return {}

    def runs_of(self, host: str) -> list[str]:
        """Every run that the host has claimed."""
        return [
            run_id
            for run_id, state in self._states.items()
            if state.run is not None and state.run.host == host
        ]

    def joined(self, host: str) -> int:
        """How often an agent began to serve as this host."""
        presence = self._records["host"]
        return sum(record.type == "HostJoined" and record.host == host for _, record in presence)

    def endings(self, run_id: str) -> list[str]:
        return [record for record in self.story(run_id) if record in ENDINGS]

    async def wait(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Wait until something that the log decides is so."""
        try:
            async with asyncio.timeout(limit):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {limit:g} s: {what}") from None

    async def until(self, run_id: str, holds: Callable[[Run], bool], limit: float = LIMIT) -> Run:
        def condition() -> bool:
            run = self._states[run_id].run
            return run is not None and holds(run)

        try:
            await self.wait(condition, run_id, limit)
        except AssertionError:
            state = self._states[run_id]
            raise AssertionError(f"{run_id} is {state.status} after {self.story(run_id)}") from None
        return self.run(run_id)

    async def running(self, run_id: str) -> Run:
        return await self.until(run_id, lambda run: run.status == "running")

    async def ended(self, run_id: str) -> Run:
        return await self.until(run_id, lambda run: run.status.ended)

    async def told(self, run_id: str, record: str) -> None:
        await self.wait(lambda: record in self.story(run_id), f"{record} in {self.story(run_id)}")

    async def settled(self) -> None:
        """Wait until everything that the broker holds has come."""
        last = await self.bus.last_seq()
        await self.wait(lambda: self._position >= last, f"position {last}")

    async def start(
        self, *argv: str, pool: str = "default", run_id: str | None = None, **spec: object
    ) -> str:
        """Order a run."""
        run_id = run_id or new_run_id()
        resolved = RunSpec.model_validate(
            {"workflow": "w", "workflow_version": 1, "argv": argv, "workspace": "/", "pool": pool, **spec}
        )
        await self.order(StartRun(run_id=run_id, spec=resolved), subjects.pool_command(pool, run_id))
        return run_id

    async def order(self, data: Value, subject: str, record_id: str | None = None) -> Envelope:
        """Publish an order as the control plane would."""
        envelope = stamp(data, subject=subject, source="test", actor=OPERATOR, record_id=record_id)
        await self.bus.publish(envelope, timeout=LIMIT)
        return envelope

    async def output(self, run_id: str, stream: str = "stdout") -> bytes:
        """All that was printed, once its end was shipped; a hole or an overlap between two pieces fails."""
        deadline = asyncio.get_running_loop().time() + LIMIT
        pause = 0.01
        while True:
            chunks = await self.bus.read_once(
                subjects.OUTPUT_STREAM, subjects.run_output(run_id, None, stream)
            )
            if any("Rp-End" in chunk.headers for chunk in chunks):
                break
            assert asyncio.get_running_loop().time() < deadline, f"{run_id}: {len(chunks)} pieces and no end"
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 2)
        content = b""
        for chunk in chunks:
            offset = int(chunk.headers["Rp-Offset"])
            assert offset == len(content), f"{run_id}: a piece at {offset} after {len(content)} bytes"
            content += chunk.payload
        return content
