"""Calls about runs: start, list, look at, kill, restart, force-complete, and the views of one run."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from runplane.client.answers import (
    BulkKill,
    CheckpointView,
    Commanded,
    OutputItem,
    OutputPage,
    ProcessView,
    RecordPage,
    Restarted,
    RunPage,
    StepView,
)
from runplane.client.calls import Calls, given, part, read
from runplane.client.event_stream import read_events
from runplane.client.wire import BASE
from runplane.contract.commands import Decision
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.run import Outcome, ResourcePoint, Run


class RunCalls(Calls):
    """Orders to runs, and lists of them."""

    async def start_run(
        self,
        workflow: str,
        params: Mapping[str, Any] | None = None,
        *,
        host: str | None = None,
        pool: str | None = None,
        debug: bool = False,
        breakpoints: Sequence[str] = (),
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Run:
        """Start a run; ``wait`` holds the answer until it is started."""
        body = given(
            workflow=workflow,
            params=dict(params or {}),
            host=host,
            pool=pool,
            debug=debug or None,
            breakpoints=list(breakpoints) or None,
        )
        return await self._order(Run, "/runs", body, key=idempotency_key, wait=wait)

    async def list_runs(
        self,
        *,
        status: str | Sequence[str] | None = None,
        workflow: str | None = None,
        host: str | None = None,
        stuck: bool | None = None,
        started_after: datetime | str | None = None,
        q: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> RunPage:
        """One page of runs, the newest first unless ``sort`` says otherwise."""
        query = {
            "status": status if isinstance(status, str | None) else ",".join(status),
            "workflow": workflow,
            "host": host,
            "stuck": stuck,
            "started_after": started_after,
            "q": q,
            "sort": sort,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._view(RunPage, "/runs", query)

    async def get_run(
        self, run_id: str, *, at_seq: int | None = None, at: datetime | str | None = None
    ) -> Run:
        """The run, now or as it was at a log position or a time."""
        return await self._view(Run, f"/runs/{part(run_id)}", {"at_seq": at_seq, "at": at})

    async def diagnose_run(self, run_id: str, *, wait: float = 20.0) -> Diagnosis:
        """What the run does and waits for, seen now; ``wait``: seconds for the host's answer."""
        return await self._order(Diagnosis, f"/runs/{part(run_id)}/diagnose", None, wait=wait)

    async def last_diagnosis(self, run_id: str) -> Diagnosis:
        """The last one that was taken. NotFound where none was."""
        return await self._view(Diagnosis, f"/runs/{part(run_id)}/diagnosis")

    async def kill_run(
        self,
        run_id: str,
        *,
        reason: str | None = None,
        force: bool = False,
        grace_seconds: float | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Kill; ``wait`` holds the answer until the run has ended, with the receipt in it."""
        body = given(reason=reason, force=force or None, grace_seconds=grace_seconds)
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/kill", body, key=idempotency_key, wait=wait
        )

    async def restart_run(
        self,
        run_id: str,
        *,
        reason: str | None = None,
        resume: bool = False,
        params: Mapping[str, Any] | None = None,
        host: str | None = None,
        pool: str | None = None,
        force: bool = False,
        grace_seconds: float | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Restarted:
        """Kill it if it is alive, and start it again with the same configuration and ``params`` over it."""
        body = given(
            reason=reason,
            resume=resume or None,
            params=dict(params) if params else None,
            host=host,
            pool=pool,
            force=force or None,
            grace_seconds=grace_seconds,
        )
        return await self._order(
            Restarted, f"/runs/{part(run_id)}/restart", body, key=idempotency_key, wait=wait
        )

    async def decide_run(
        self,
        run_id: str,
        decision: Decision,
        *,
        reason: str | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Decide about a run that waits for an attempt or a decision; ``wait`` holds the answer until it goes on."""
        body = given(decision=decision, reason=reason)
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/decide", body, key=idempotency_key, wait=wait
        )

    async def force_complete_run(
        self,
        run_id: str,
        *,
        outcome: Outcome = "failed",
        reason: str | None = None,
        detach: bool = False,
        replace: bool = False,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Declare the outcome; the tree is killed first unless ``detach``."""
        body = given(outcome=outcome, reason=reason, detach=detach or None, replace=replace or None)
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/force-complete", body, key=idempotency_key, wait=wait
        )

    async def kill_runs(
        self,
        selector: Mapping[str, Any],
        *,
        reason: str | None = None,
        force: bool = False,
        grace_seconds: float | None = None,
        dry_run: bool = False,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> BulkKill:
        """Kill every open run that ``selector`` (``workflow status host stuck``) matches; or say which it would be."""
        body = given(
            selector=dict(selector),
            reason=reason,
            force=force or None,
            grace_seconds=grace_seconds,
            dry_run=dry_run or None,
        )
        return await self._order(BulkKill, "/runs:kill", body, key=idempotency_key, wait=wait)


class RunViews(Calls):
    """What there is to see of one run."""

    async def run_events(
        self, run_id: str, *, since_seq: int | None = None, limit: int | None = None
    ) -> RecordPage:
        """The run's story, in log order."""
        query = {"since_seq": since_seq, "limit": limit}
        return await self._view(RecordPage, f"/runs/{part(run_id)}/events", query)

    async def steps(self, run_id: str) -> tuple[StepView, ...]:
        """The steps that its workflow reported."""
        return await self._items(StepView, f"/runs/{part(run_id)}/steps")

    async def checkpoints(self, run_id: str) -> tuple[CheckpointView, ...]:
        """The checkpoints that were stored, the oldest first."""
        return await self._items(CheckpointView, f"/runs/{part(run_id)}/checkpoints")

    async def checkpoint(self, run_id: str, digest: str) -> Any:
        """What a checkpoint holds."""
        return await self._wire.ask("GET", f"{BASE}/runs/{part(run_id)}/checkpoints/{part(digest)}")

    async def value(self, run_id: str, digest: str) -> Any:
        """An input or a result of a step that is too large for the log, by its digest."""
        return await self._wire.ask("GET", f"{BASE}/runs/{part(run_id)}/values/{part(digest)}")

    async def resources(
        self, run_id: str, *, since: datetime | str | None = None
    ) -> tuple[ResourcePoint, ...]:
        """What its whole tree used, the oldest first; the coarser, the older."""
        return await self._items(ResourcePoint, f"/runs/{part(run_id)}/resources", {"since": since})

    async def processes(self, run_id: str) -> tuple[ProcessView, ...]:
        """The processes of its tree, as its host last saw them."""
        return await self._items(ProcessView, f"/runs/{part(run_id)}/processes")

    async def logs(
        self,
        run_id: str,
        *,
        tail: int | None = None,
        stream: str | None = None,
        attempt: int | None = None,
        cursor: str | None = None,
    ) -> OutputPage:
        """Its output as stored now, page by page; ``tail`` lines of it."""
        query = {"tail": tail, "stream": stream, "attempt": attempt, "cursor": cursor}
        return await self._view(OutputPage, f"/runs/{part(run_id)}/logs", query)

    async def follow_logs(
        self, run_id: str, *, tail: int | None = None, stream: str | None = None, attempt: int | None = None
    ) -> AsyncGenerator[OutputItem]:
        """Its output as it comes, until the run has ended and all of it was sent.

        Close it when leaving it early (``contextlib.aclosing``), or its connection stays open.
        """
        query = {"follow": True, "tail": tail, "stream": stream, "attempt": attempt}
        seen: dict[tuple[int, str], int] = {}
        async with aclosing(read_events(self._wire, f"{BASE}/runs/{part(run_id)}/logs", query)) as events:
            async for event in events:
                if event.name == "end":
                    return
                if event.name not in ("output", "message"):
                    continue
                item = read(OutputItem, json.loads(event.data))
                # A stream that was taken up again may begin with what was already read.
                if item.offset > seen.get((item.attempt, item.stream), -1):
                    seen[item.attempt, item.stream] = item.offset
                    yield item
