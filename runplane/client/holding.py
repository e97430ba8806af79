"""Calls about runs that are held, looked into and let go on."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from runplane.client.answers import Commanded, Evaluation, WithNotes
from runplane.client.calls import Calls, given, part
from runplane.contract.commands import DebugMode
from runplane.contract.debugging import Variables


class HoldingCalls(Calls):
    """Orders to runs that are held or are to be held, and what such runs show."""

    async def pause_run(
        self,
        run_id: str,
        *,
        reason: str | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Stop every process of it where it is; ``wait`` holds the answer until all stand still."""
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/pause", given(reason=reason), key=idempotency_key, wait=wait
        )

    async def continue_run(
        self,
        run_id: str,
        *,
        reason: str | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Let a paused run go on."""
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/continue", given(reason=reason), key=idempotency_key, wait=wait
        )

    async def step_run(
        self,
        run_id: str,
        *,
        mode: DebugMode = "over",
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Commanded:
        """Let a held run go on to its next boundary, or from line to line; ``wait`` until it is held again."""
        return await self._order(
            Commanded, f"/runs/{part(run_id)}/step", {"mode": mode}, key=idempotency_key, wait=wait
        )

    async def set_breakpoints(
        self,
        run_id: str,
        breakpoints: Sequence[str | Mapping[str, Any]],
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> WithNotes:
        """Replace its breakpoints: each a location, or ``{location, condition}``."""
        return await self._order(
            WithNotes,
            f"/runs/{part(run_id)}/breakpoints",
            {"breakpoints": list(breakpoints)},
            key=idempotency_key,
            wait=wait,
            method="PUT",
        )

    async def variables(
        self, run_id: str, *, scope: str | None = None, name: str | None = None, limit: int | None = None
    ) -> Variables:
        """What it shows of its variables; a value takes at most ``limit`` bytes of JSON."""
        query = {"scope": scope, "name": name, "limit": limit}
        return await self._view(Variables, f"/runs/{part(run_id)}/variables", query)

    async def set_variable(
        self,
        run_id: str,
        name: str,
        value: JsonValue,
        *,
        scope: str | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Variables:
        """Change a variable where it is held; what it shows then, as soon as it is changed where ``wait`` is given."""
        body = {"name": name, "value": value, **given(scope=scope)}
        return await self._order(
            Variables,
            f"/runs/{part(run_id)}/variables",
            body,
            key=idempotency_key,
            wait=wait,
            method="PATCH",
        )

    async def evaluate(
        self,
        run_id: str,
        expression: str,
        *,
        frame: int = 0,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Evaluation:
        """Evaluate an expression in the program, in a frame of its stack, where it is held at a line."""
        body = {"expression": expression, "frame": frame}
        return await self._order(
            Evaluation, f"/runs/{part(run_id)}/evaluate", body, key=idempotency_key, wait=wait
        )
