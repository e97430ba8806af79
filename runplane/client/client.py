"""Every call of the API, version 1, typed. Methods are named after what they ask for; durations are seconds.

``wait`` holds the answer until the effect is visible, at most 60 seconds. Errors: those of ``contract/errors`` by the
answer's status, with its ``code`` and further fields; :class:`Unavailable` where nobody answers.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from runplane.client.answers import (
    AnswerNotUnderstood,
    BulkKill,
    Change,
    Commanded,
    HostView,
    OutputItem,
    OutputPage,
    ProcessView,
    Rebuilt,
    RecordPage,
    Restarted,
    RunPage,
    StepView,
    Token,
    WorkflowView,
)
from runplane.client.event_stream import read_events
from runplane.client.place import Place, find_plane
from runplane.client.wire import BASE, SEQ_HEADER, Wire
from runplane.contract.run import Outcome, Resources, Run, Surface
from runplane.contract.workflow import WorkflowDefinition

TIMEOUT = 30.0
REBUILD_WITHIN = 600.0
_NOT_READY = (503,)

Answer = TypeVar("Answer")


class Client:
    """A client of one control plane; an async context manager that closes its connections."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = TIMEOUT,
        surface: Surface = "api",
        is_supervised: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``surface`` is what the log will name beside the principal of ``token``."""
        place = Place(url=url.rstrip("/"), token=token, is_supervised=is_supervised)
        self._wire = Wire(place, timeout=timeout, surface=surface, transport=transport)

    @classmethod
    def from_environment(
        cls, home: str | Path | None = None, *, timeout: float = TIMEOUT, surface: Surface = "api"
    ) -> Self:
        """The control plane of ``RUNPLANE_URL``, else of the home's ``endpoint.json``."""
        place = find_plane(home)
        return cls(
            place.url, place.token, timeout=timeout, surface=surface, is_supervised=place.is_supervised
        )

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    @property
    def url(self) -> str:
        """The control plane's address."""
        return self._wire.url

    # Runs

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
        body = _given(
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
        return await self._view(Run, f"/runs/{_part(run_id)}", {"at_seq": at_seq, "at": at})

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
        body = _given(reason=reason, force=force or None, grace_seconds=grace_seconds)
        return await self._order(
            Commanded, f"/runs/{_part(run_id)}/kill", body, key=idempotency_key, wait=wait
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
        body = _given(
            reason=reason,
            resume=resume or None,
            params=dict(params) if params else None,
            host=host,
            pool=pool,
            force=force or None,
            grace_seconds=grace_seconds,
        )
        return await self._order(
            Restarted, f"/runs/{_part(run_id)}/restart", body, key=idempotency_key, wait=wait
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
        body = _given(outcome=outcome, reason=reason, detach=detach or None, replace=replace or None)
        return await self._order(
            Commanded, f"/runs/{_part(run_id)}/force-complete", body, key=idempotency_key, wait=wait
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
        body = _given(
            selector=dict(selector),
            reason=reason,
            force=force or None,
            grace_seconds=grace_seconds,
            dry_run=dry_run or None,
        )
        return await self._order(BulkKill, "/runs:kill", body, key=idempotency_key, wait=wait)

    # Views of one run

    async def run_events(
        self, run_id: str, *, since_seq: int | None = None, limit: int | None = None
    ) -> RecordPage:
        """The run's story, in log order."""
        query = {"since_seq": since_seq, "limit": limit}
        return await self._view(RecordPage, f"/runs/{_part(run_id)}/events", query)

    async def steps(self, run_id: str) -> tuple[StepView, ...]:
        """The steps that its workflow reported."""
        return await self._items(StepView, f"/runs/{_part(run_id)}/steps")

    async def resources(self, run_id: str, *, since: datetime | str | None = None) -> tuple[Resources, ...]:
        """Samples of the whole tree, the oldest first."""
        return await self._items(Resources, f"/runs/{_part(run_id)}/resources", {"since": since})

    async def processes(self, run_id: str) -> tuple[ProcessView, ...]:
        """The processes of its tree, as its host last saw them."""
        return await self._items(ProcessView, f"/runs/{_part(run_id)}/processes")

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
        return await self._view(OutputPage, f"/runs/{_part(run_id)}/logs", query)

    async def follow_logs(
        self, run_id: str, *, tail: int | None = None, stream: str | None = None, attempt: int | None = None
    ) -> AsyncGenerator[OutputItem]:
        """Its output as it comes, until the run has ended and all of it was sent.

        Close it when leaving it early (``contextlib.aclosing``), or its connection stays open.
        """
        query = {"follow": True, "tail": tail, "stream": stream, "attempt": attempt}
        seen: dict[tuple[int, str], int] = {}
        async with aclosing(read_events(self._wire, f"{BASE}/runs/{_part(run_id)}/logs", query)) as events:
            async for event in events:
                if event.name == "end":
                    return
                if event.name not in ("output", "message"):
                    continue
                item = _read(OutputItem, json.loads(event.data))
                # A stream that was taken up again may begin with what was already read.
                if item.offset > seen.get((item.attempt, item.stream), -1):
                    seen[item.attempt, item.stream] = item.offset
                    yield item

    # The log

    async def events(
        self,
        *,
        type: str | None = None,
        actor: str | None = None,
        run_id: str | None = None,
        host: str | None = None,
        since_seq: int | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        """Records of the log that match, in log order, after ``since_seq``."""
        query = {
            "type": type,
            "actor": actor,
            "run_id": run_id,
            "host": host,
            "since_seq": since_seq,
            "since": since,
            "until": until,
            "limit": limit,
        }
        return await self._view(RecordPage, "/events", query)

    async def stream(
        self, *, run_id: str | None = None, types: Sequence[str] = (), after_seq: int | None = None
    ) -> AsyncGenerator[Change]:
        """What happens from now on (or after a log position), without a gap across broken connections.

        Close it when leaving it early (``contextlib.aclosing``), or its connection stays open.
        """
        query = {"run_id": run_id, "types": ",".join(types) or None}
        last_id = "" if after_seq is None else str(after_seq)
        reading = read_events(self._wire, f"{BASE}/stream", query, last_id=last_id, begins_at=SEQ_HEADER)
        async with aclosing(reading) as events:
            async for event in events:
                yield _change(event.id, json.loads(event.data))

    async def rebuild(self) -> Rebuilt:
        """Build the read model anew beside the live one and compare."""
        return await self._order(Rebuilt, "/rebuild", None, timeout=REBUILD_WITHIN)

    # Fleet and registry

    async def hosts(self) -> tuple[HostView, ...]:
        """Every host that ever joined."""
        return await self._items(HostView, "/hosts")

    async def host(self, host_id: str) -> HostView:
        """One host."""
        return await self._view(HostView, f"/hosts/{_part(host_id)}")

    async def workflows(self) -> tuple[WorkflowView, ...]:
        """The registry, by name."""
        return await self._items(WorkflowView, "/workflows")

    async def workflow(self, name: str) -> WorkflowView:
        """The last version of a workflow."""
        return await self._view(WorkflowView, f"/workflows/{_part(name)}")

    async def workflow_versions(self, name: str) -> tuple[WorkflowView, ...]:
        """Every version of a workflow, the oldest first."""
        return await self._items(WorkflowView, f"/workflows/{_part(name)}/versions")

    async def apply_workflow(
        self, definition: WorkflowDefinition, *, idempotency_key: str | None = None
    ) -> WorkflowView:
        """Register a version; the same definition again changes nothing."""
        body = definition.model_dump(mode="json", by_alias=True)
        answer = await self._wire.ask(
            "PUT", f"{BASE}/workflows/{_part(definition.name)}", body=body, key=idempotency_key
        )
        return _read(WorkflowView, answer)

    async def delete_workflow(self, name: str) -> None:
        """Remove a workflow from the registry; its runs keep their configuration."""
        await self._wire.ask("DELETE", f"{BASE}/workflows/{_part(name)}")

    # Access and health

    async def tokens(self) -> tuple[Token, ...]:
        """The tokens that were issued, without their secret."""
        return await self._items(Token, "/tokens")

    async def create_token(self, *, role: str, name: str, ttl_seconds: float | None = None) -> Token:
        """Issue a token; its secret is in this answer alone."""
        return await self._order(Token, "/tokens", _given(role=role, name=name, ttl_seconds=ttl_seconds))

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a token."""
        await self._wire.ask("DELETE", f"{BASE}/tokens/{_part(token_id)}")

    async def health(self) -> dict[str, Any]:
        """What ``/healthz`` says, also where it says that something is wrong."""
        return _document(await self._wire.ask("GET", "/healthz", accept=_NOT_READY))

    async def ready(self) -> dict[str, Any]:
        """What ``/readyz`` says, also where it is not ready."""
        return _document(await self._wire.ask("GET", "/readyz", accept=_NOT_READY))

    async def _view(self, kind: type[Answer], path: str, query: Mapping[str, Any] | None = None) -> Answer:
        return _read(kind, await self._wire.ask("GET", f"{BASE}{path}", query=query))

    async def _items(
        self, kind: type[Answer], path: str, query: Mapping[str, Any] | None = None
    ) -> tuple[Answer, ...]:
        answer = await self._wire.ask("GET", f"{BASE}{path}", query=query)
        items = answer.get("items", ()) if isinstance(answer, dict) else answer
        return tuple(_read(kind, item) for item in items or ())

    async def _order(
        self,
        kind: type[Answer],
        path: str,
        body: Any,
        *,
        key: str | None = None,
        wait: float | None = None,
        timeout: float | None = None,
    ) -> Answer:
        answer = await self._wire.ask("POST", f"{BASE}{path}", body=body, key=key, wait=wait, timeout=timeout)
        return _read(kind, answer)


def _read(kind: type[Answer], answer: Any) -> Answer:
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AnswerNotUnderstood(
            f"the control plane's answer is not understood ({where}: {first['msg']}): "
            f"are it and this program of the same version?"
        ) from None


def _change(event_id: str, data: Any) -> Change:
    return _read(Change, {"seq": event_id, **data} if isinstance(data, dict) else data)


def _document(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"status": answer}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _part(text: str) -> str:
    """One segment of a path, whatever it contains."""
    return quote(text, safe="") or "-"
