"""Deciding about a run whose attempt failed."""

from typing import Annotated

from pydantic import Field

from mcp_server.results import DecideResult
from mcp_server.tools.arguments import Reason, RunIdArgument
from mcp_server.tools.call import Call, run_id_of, unknown_run
from mcp_server.waiting import until
from runplane.contract.commands import Decision
from runplane.contract.errors import NotFound
from runplane.contract.run import Run

AT_ONCE = 2.0
LIMIT = 10.0


async def decide_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    decision: Annotated[
        Decision,
        Field(
            description="`retry` begins the next attempt now, where its workflow says; `resume` from the last "
            "checkpoint; `restart` from the beginning; `give_up` ends the run with its failure."
        ),
    ],
    reason: Reason = None,
) -> DecideResult:
    """Decide about a run that waits for a decision, or begin its next attempt before its time.

    list_runs_by_status with status `awaiting_decision` shows those that wait. force_complete_workflow and kill_workflow
    are possible as well.
    """
    checked = run_id_of(run_id)
    try:
        before = (await call.client.get_run(checked)).attempt
        answer = await call.client.decide_run(checked, decision, reason=reason, wait=AT_ONCE)
    except NotFound:
        raise unknown_run(checked) from None
    run = await until(
        call.client,
        checked,
        lambda run: run.status.ended or run.attempt > before,
        timeout=LIMIT,
        tell=call.telling("waiting for a host to take the next attempt", LIMIT),
        known=answer.run,
    )
    return DecideResult(message=_said(run), run_id=checked, status=run.status, attempt=run.attempt)


def _said(run: Run) -> str:
    if run.status.ended:
        return f"{run.run_id} is {run.status}. Call restart_workflow to start it again under a new id."
    if run.attempt_over:
        return (
            f"Attempt {run.attempt + 1} of {run.run_id} is ordered, and no host has taken it yet. Call list_hosts, "
            "then get_workflow_status."
        )
    return (
        f"{run.run_id} goes on: attempt {run.attempt} is {run.status} on {run.host}. Call wait_for_workflow to see how "
        "it ends."
    )
