"""Calls about the log, the fleet, the registry of workflows, access and health."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from runplane.client.answers import (
    Change,
    HostView,
    NotificationTargets,
    NotificationTests,
    Rebuilt,
    RecordPage,
    Token,
    WorkflowView,
)
from runplane.client.calls import Calls, document, given, part, read
from runplane.client.event_stream import read_events
from runplane.client.wire import BASE, SEQ_HEADER
from runplane.contract.workflow import WorkflowDefinition

REBUILD_WITHIN = 600.0
TEST_WITHIN = 60.0
_NOT_READY = (503,)


class LogCalls(Calls):
    """Reading the log."""

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
                yield read(Change, {"seq": event.id, **json.loads(event.data)})

    async def rebuild(self) -> Rebuilt:
        """Build the read model anew beside the live one and compare."""
        return await self._order(Rebuilt, "/rebuild", None, timeout=REBUILD_WITHIN)


class RegistryCalls(Calls):
    """Hosts and workflows."""

    async def hosts(self) -> tuple[HostView, ...]:
        """Every host that ever joined."""
        return await self._items(HostView, "/hosts")

    async def host(self, host_id: str) -> HostView:
        """One host."""
        return await self._view(HostView, f"/hosts/{part(host_id)}")

    async def workflows(self) -> tuple[WorkflowView, ...]:
        """The registry, by name."""
        return await self._items(WorkflowView, "/workflows")

    async def workflow(self, name: str) -> WorkflowView:
        """The last version of a workflow."""
        return await self._view(WorkflowView, f"/workflows/{part(name)}")

    async def workflow_versions(self, name: str) -> tuple[WorkflowView, ...]:
        """Every version of a workflow, the oldest first."""
        return await self._items(WorkflowView, f"/workflows/{part(name)}/versions")

    async def apply_workflow(
        self, definition: WorkflowDefinition, *, idempotency_key: str | None = None
    ) -> WorkflowView:
        """Register a version; the same definition again changes nothing."""
        body = definition.model_dump(mode="json", by_alias=True)
        answer = await self._wire.ask(
            "PUT", f"{BASE}/workflows/{part(definition.name)}", body=body, key=idempotency_key
        )
        return read(WorkflowView, answer)

    async def delete_workflow(self, name: str) -> None:
        """Remove a workflow from the registry; its runs keep their configuration."""
        await self._wire.ask("DELETE", f"{BASE}/workflows/{part(name)}")


class NotificationCalls(Calls):
    """Who is told of what."""

    async def notifications(self) -> NotificationTargets:
        """Every target, and what became of the last notification to it."""
        return await self._view(NotificationTargets, "/notifications")

    async def test_notifications(self, target: str | None = None) -> NotificationTests:
        """Tell one target, or all, for a test."""
        body = given(target=target)
        return await self._order(NotificationTests, "/notifications/test", body, timeout=TEST_WITHIN)


class AccessCalls(Calls):
    """Tokens and health."""

    async def tokens(self) -> tuple[Token, ...]:
        """The tokens that were issued, without their secret."""
        return await self._items(Token, "/tokens")

    async def create_token(self, *, role: str, name: str, ttl_seconds: float | None = None) -> Token:
        """Issue a token; its secret is in this answer alone."""
        return await self._order(Token, "/tokens", given(role=role, name=name, ttl_seconds=ttl_seconds))

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a token."""
        await self._wire.ask("DELETE", f"{BASE}/tokens/{part(token_id)}")

    async def health(self) -> dict[str, Any]:
        """What ``/healthz`` says, also where it says that something is wrong."""
        return document(await self._wire.ask("GET", "/healthz", accept=_NOT_READY))

    async def ready(self) -> dict[str, Any]:
        """What ``/readyz`` says, also where it is not ready."""
        return document(await self._wire.ask("GET", "/readyz", accept=_NOT_READY))
