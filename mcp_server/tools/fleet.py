"""Killing many runs at once."""

import time
from typing import Annotated, Any

from pydantic import Field, JsonValue, model_validator

from mcp_server.results import BulkKillItem, BulkKillResult
from mcp_server.tools.arguments import Force, Grace, Reason
from mcp_server.tools.call import Call
from mcp_server.tools.ending import AT_ONCE, is_gone, limit_of
from mcp_server.waiting import until
from runplane.client import BulkKillItem as Ordered
from runplane.contract.ids import HostId, WorkflowName
from runplane.contract.run import Status
from runplane.contract.value import StrictValue

NAMES_SHOWN = 10


class Selector(StrictValue):
    """Open runs by workflow, status, host, or being stuck; at least one of them is named."""

    workflow: WorkflowName | None = None
    status: Status | None = None
    host: HostId | None = None
    stuck: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, raw: Any) -> Any:
        """Also as the command line has it: ``workflow=lina,stuck=true``."""
        if not isinstance(raw, str):
            return raw
        pairs = [part.partition("=") for part in raw.split(",") if part.strip()]
        return {name.strip(): value.strip() for name, _, value in pairs}

    @model_validator(mode="after")
    def _names_something(self) -> "Selector":
        if not self.named:
            raise ValueError(
                "name at least one of workflow, status, host, stuck: an empty selector kills nothing"
            )
        return self

    @property
    def named(self) -> dict[str, JsonValue]:
        """What was given."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}


async def kill_workflows(
    call: Call,
    *,
    selector: Annotated[
        Selector,
        Field(description='Which open runs, like {"workflow": "lina", "stuck": true}. Name at least one.'),
    ],
    dry_run: Annotated[bool, Field(description="True only says which runs it would kill.")] = True,
    reason: Reason = None,
    force: Force = False,
    grace_seconds: Grace = None,
) -> BulkKillResult:
    """Kill every open run that a selector matches, and wait for each until it is proven gone.

    By default a dry run: it only says which. Call it again with dry_run=false to kill them.
    """
    answer = await call.client.kill_runs(
        selector.named,
        reason=reason,
        force=force,
        grace_seconds=grace_seconds,
        dry_run=dry_run,
        wait=None if dry_run else AT_ONCE,
    )
    if dry_run:
        results = tuple(BulkKillItem(run_id=one.run_id, status=one.status) for one in answer.results)
    else:
        results = await _proven(call, answer.results, limit_of(0.0 if force else grace_seconds))
    confirmed = sum(one.confirmed for one in results)
    return BulkKillResult(
        message=_said(selector, results, dry_run=dry_run, confirmed=confirmed)
        + (" More match than one call kills: call it again for the rest." if answer.truncated else ""),
        dry_run=dry_run,
        selector=selector.named,
        matched=max(answer.matched, len(results)),
        confirmed=confirmed,
        results=results,
    )


async def _proven(call: Call, ordered: tuple[Ordered, ...], limit: float) -> tuple[BulkKillItem, ...]:
    """Each run once it is over. They end side by side, so they share one limit."""
    deadline = time.monotonic() + limit
    found: list[BulkKillItem] = []
    for number, one in enumerate(ordered):
        if one.result == "refused" or one.code is not None:
            found.append(BulkKillItem(run_id=one.run_id, status=one.status, error=one.message or one.code))
            continue
        await call.report(
            number, len(ordered), f"{number} of {len(ordered)} runs are over; waiting for {one.run_id}"
        )
        run = await until(
            call.client,
            one.run_id,
            lambda run: run.status.ended,
            timeout=max(0.0, deadline - time.monotonic()),
            tell=call.silence,
        )
        found.append(BulkKillItem(run_id=run.run_id, status=run.status, confirmed=is_gone(run)))
    return tuple(found)


def _said(selector: Selector, results: tuple[BulkKillItem, ...], *, dry_run: bool, confirmed: int) -> str:
    which = ", ".join(f"{name}={value}" for name, value in selector.named.items())
    if not results:
        return f"No open run matches {which}; nothing was done."
    number = f"{len(results)} open run{'' if len(results) == 1 else 's'} with {which}"
    if dry_run:
        return (
            f"Dry run: it would kill {number}: {_names(results)}. Nothing was done. Call kill_workflows again with "
            "dry_run=false to kill them."
        )
    left = [one for one in results if not one.confirmed]
    if not left:
        return f"Killed {number}; no process of any of them is left."
    return (
        f"Of {number}, {confirmed} are proven gone. Not proven: {_names(left)}. Call get_workflow_status for each, "
        "or kill_workflow with force=true."
    )


def _names(results: "tuple[BulkKillItem, ...] | list[BulkKillItem]") -> str:
    shown = ", ".join(one.run_id for one in results[:NAMES_SHOWN])
    return shown + (f" and {len(results) - NAMES_SHOWN} more" if len(results) > NAMES_SHOWN else "")
