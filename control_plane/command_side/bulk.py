"""Killing many at once: open runs by selector, each by a command of its own, each with its own result."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from control_plane.command_side.requests import KillRequest, KillRunsRequest
from control_plane.command_side.runs import RunCommands
from control_plane.read_model import ReadModel, RunFilter
from control_plane.read_model.unreachable import STUCK
from control_plane.read_model.unreachable import VERDICT as UNREACHABLE
from runplane.contract.errors import RunplaneError
from runplane.contract.ids import RecordId, RunId
from runplane.contract.run import OPEN, Actor, Run, Status
from runplane.contract.value import Value

AT_ONCE = 32
MAX_RUNS = 10_000
_PAGE = 500

Result = Literal["accepted", "already_ended", "refused", "would_kill"]


class BulkResult(Value):
    """What became of one run; ``code`` and ``message`` say why where it was refused."""

    run_id: RunId
    status: Status
    result: Result
    command_id: RecordId | None = None
    code: str | None = None
    message: str | None = None


class BulkKill(Value):
    """What became of all. ``truncated`` where more matched than one request kills: ask again."""

    dry_run: bool
    matched: int
    truncated: bool
    results: tuple[BulkResult, ...]


async def kill_runs(
    commands: RunCommands, read_model: ReadModel, request: KillRunsRequest, actor: Actor, key: str | None
) -> BulkKill:
    """Kill every open run that the selector matches; ``dry_run`` publishes nothing."""
    matched, truncated = _matching(read_model, request)
    if request.dry_run:
        results = [BulkResult(run_id=run.run_id, status=run.status, result="would_kill") for run in matched]
        return BulkKill(dry_run=True, matched=len(matched), truncated=truncated, results=tuple(results))
    order = KillRequest(reason=request.reason, force=request.force, grace_seconds=request.grace_seconds)
    free = asyncio.Semaphore(AT_ONCE)

    async def kill(run: Run) -> BulkResult:
        async with free:
            return await _kill_one(
                commands, run, order, actor, f"{key}/{run.run_id}" if key is not None else None
            )

    results = await asyncio.gather(*(kill(run) for run in matched))
    return BulkKill(dry_run=False, matched=len(matched), truncated=truncated, results=tuple(results))


async def kill_chosen(
    commands: RunCommands,
    read_model: ReadModel,
    run_ids: Sequence[str],
    order: KillRequest,
    actor: Actor,
    *,
    dry_run: bool,
) -> list[BulkResult]:
    """Kill these runs, each with its own result, in the order given; ``dry_run`` publishes nothing."""
    free = asyncio.Semaphore(AT_ONCE)

    async def kill(run_id: str) -> BulkResult:
        run = read_model.run(run_id)
        if run is None:
            return BulkResult(
                run_id=run_id,
                status=Status.LOST,
                result="refused",
                code="run_not_found",
                message="there is no such run",
            )
        if dry_run:
            return BulkResult(
                run_id=run_id, status=run.status, result="already_ended" if run.status.ended else "would_kill"
            )
        async with free:
            return await _kill_one(commands, run, order, actor, None)

    return list(await asyncio.gather(*(kill(run_id) for run_id in run_ids)))


async def _kill_one(
    commands: RunCommands, run: Run, order: KillRequest, actor: Actor, key: str | None
) -> BulkResult:
    try:
        accepted = await commands.kill_run(run.run_id, order, actor, key)
    except RunplaneError as error:
        return BulkResult(
            run_id=run.run_id,
            status=run.status,
            result="refused",
            code=error.error_code,
            message=error.message,
        )
    return BulkResult(
        run_id=run.run_id,
        status=run.status,
        result="already_ended" if accepted.already else "accepted",
        command_id=accepted.command_id,
    )


def _is_meant(run: Run, request: KillRunsRequest) -> bool:
    """A run whose host is merely silent is not killed for being stuck: the order would wait, and hit a healthy run."""
    if not request.selector.stuck:
        return True
    return any(one.type == STUCK and one.verdict != UNREACHABLE for one in run.conditions)


def _matching(read_model: ReadModel, request: KillRunsRequest) -> tuple[list[Run], bool]:
    selector = request.selector
    statuses = tuple(OPEN) if selector.status is None else (selector.status,)
    found: list[Run] = []
    cursor: str | None = None
    while True:
        page = read_model.runs(
            RunFilter(
                status=tuple(status for status in statuses if status in OPEN) or (Status.PENDING,),
                workflow=selector.workflow,
                host=selector.host,
                stuck=selector.stuck,
                sort="run_id",
                limit=_PAGE,
                cursor=cursor,
            )
        )
        found.extend(run for run in page.items if run.status in statuses and _is_meant(run, request))
        cursor = page.next_cursor
        if cursor is None:
            return found, False
        if len(found) >= MAX_RUNS:
            return found[:MAX_RUNS], True
