"""Lists of runs, a page at a time."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mcp_server.results import RunList, RunSummary
from mcp_server.tools.arguments import AnyStatus, Page, PageSize, StatusArgument, WorkflowNameArgument
from mcp_server.tools.call import Call
from mcp_server.tools.sentences import awaiting_of, stuck_of
from runplane.client import RunPage
from runplane.contract.errors import InvalidInput
from runplane.contract.run import Run

FARTHEST = 10_000
"""How many runs deep a page may lie; beyond it a narrower question is the better one."""
ASKED_AT_ONCE = 1000

Filters = Mapping[str, str | bool | None]
SortBy = Literal["created_at", "started_at", "ended_at", "completed_at", "status", "workflow", "host"]


async def list_recent_runs(
    call: Call,
    *,
    workflow_name: Annotated[str | None, Field(description="Only runs of this workflow.")] = None,
    status: Annotated[AnyStatus | None, Field(description="Only runs with this status.")] = None,
    page: Page = 1,
    page_size: PageSize = 20,
    host: Annotated[str | None, Field(description="Only runs on this host.")] = None,
    stuck: Annotated[
        bool | None, Field(description="Only runs that look stuck (or only those that do not).")
    ] = None,
    sort_by: Annotated[SortBy, Field(description="`completed_at` is `ended_at`.")] = "created_at",
    sort_order: Literal["asc", "desc"] = "desc",
) -> RunList:
    """List runs, the newest first, a page at a time."""
    filters = {"workflow": workflow_name, "status": status, "host": host, "stuck": stuck}
    column = "ended_at" if sort_by == "completed_at" else sort_by
    sort = column if sort_order == "asc" else f"-{column}"
    return await _page(call, filters, page=page, page_size=page_size, sort=sort)


async def list_runs_by_status(
    call: Call, *, status: StatusArgument, page: Page = 1, page_size: PageSize = 20
) -> RunList:
    """List the runs that have one status, the newest first."""
    return await _page(call, {"status": status}, page=page, page_size=page_size)


async def list_runs_by_workflow(
    call: Call, *, workflow_name: WorkflowNameArgument, page: Page = 1, page_size: PageSize = 20
) -> RunList:
    """List the runs of one workflow, the newest first."""
    return await _page(call, {"workflow": workflow_name}, page=page, page_size=page_size)


async def _page(
    call: Call, filters: Filters, *, page: int, page_size: int, sort: str = "-created_at"
) -> RunList:
    skipped = (page - 1) * page_size
    if skipped + page_size > FARTHEST:
        raise InvalidInput(
            f"page {page} of {page_size} runs lies more than {FARTHEST} runs deep: narrow the list by status or "
            "workflow_name instead.",
            code="page_too_deep",
        )
    found = await _at(call, filters, skipped=skipped, page_size=page_size, sort=sort)
    runs = tuple(_summary(run) for run in found.items)
    has_more = skipped + len(runs) < found.total and bool(runs)
    return RunList(
        message=_said(runs, filters, total=found.total, page=page, has_more=has_more),
        runs=runs,
        page=page,
        page_size=page_size,
        total=found.total,
        has_more=has_more,
    )


async def _at(call: Call, filters: Filters, *, skipped: int, page_size: int, sort: str) -> RunPage:
    """The page that begins after ``skipped`` runs, found by following cursors."""
    cursor: str | None = None
    while skipped > 0:
        passed = await _ask(call, filters, sort=sort, limit=min(skipped, ASKED_AT_ONCE), cursor=cursor)
        skipped -= len(passed.items)
        cursor = passed.next_cursor
        if cursor is None:
            return RunPage(total=passed.total)
    return await _ask(call, filters, sort=sort, limit=page_size, cursor=cursor)


async def _ask(call: Call, filters: Filters, *, sort: str, limit: int, cursor: str | None) -> RunPage:
    given = {name: value for name, value in filters.items() if value is not None}
    return await call.client.list_runs(**given, sort=sort, limit=limit, cursor=cursor)  # type: ignore[arg-type]


def _said(runs: tuple[RunSummary, ...], filters: Filters, *, total: int, page: int, has_more: bool) -> str:
    narrowed = " and ".join(f"{name} {value}" for name, value in filters.items() if value is not None)
    which = f"with {narrowed}" if narrowed else "in all"
    if not runs:
        return f"No run on page {page}; there are {total} runs {which}."
    stuck = [run.run_id for run in runs if run.stuck]
    said = f"{len(runs)} of {total} runs {which} (page {page})."
    if stuck:
        said += f" Looking stuck: {', '.join(stuck)}; call get_workflow_status or get_workflow_logs for one of them."
    return said + (f" Call again with page={page + 1} for more." if has_more else "")


def _summary(run: Run) -> RunSummary:
    return RunSummary(
        run_id=run.run_id,
        workflow=run.workflow,
        workflow_name=run.workflow,
        status=run.status,
        stuck=stuck_of(run),
        host=run.host,
        attempt=run.attempt,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        progress=run.progress,
        step=run.step,
        failure=run.failure,
        restarted_as=run.restarted_as,
        next_attempt=run.next_attempt,
        awaiting_decision=awaiting_of(run),
    )
