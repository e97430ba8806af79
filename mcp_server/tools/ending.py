"""Ending runs: kill, restart, force-complete. Each waits for what it promises, within a limit, and says what it saw."""

from typing import Annotated, Any

from pydantic import Field

from mcp_server.results import ForceCompleteResult, KillResult, RestartResult
from mcp_server.tools import sentences
from mcp_server.tools.arguments import Force, Grace, Reason, RunIdArgument
from mcp_server.tools.call import Call, run_id_of, unknown_run
from mcp_server.waiting import until
from runplane.contract.errors import Conflict, NotFound
from runplane.contract.run import Outcome, Run, Status
from runplane.contract.value import Moment

AT_ONCE = 2.0
"""Seconds that the control plane may hold its answer, so that a quick end needs no second question."""
GRACE_NOT_KNOWN = 60.0
"""Seconds allowed for a grace that neither the call names nor the log shows (yet)."""
BEYOND_GRACE = 60.0
NOT_STARTED = frozenset({Status.PENDING, Status.STARTING})


async def kill_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    reason: Reason = None,
    force: Force = False,
    grace_seconds: Grace = None,
) -> KillResult:
    """Kill a run: end its whole process tree, and wait until that is proven.

    `confirmed` is true once the kernel showed that no process of the run is left; `kill_receipt` is the proof.
    Killing a run that has already ended changes nothing and is no error.
    """
    checked = run_id_of(run_id)
    before = await call.run(checked)
    answer = await call.client.kill_run(
        checked, reason=reason, force=force, grace_seconds=grace_seconds, wait=AT_ONCE
    )
    limit = await _limit(call, answer.run, 0.0 if force else grace_seconds)
    run = await until(
        call.client,
        checked,
        lambda run: run.status.ended,
        timeout=limit,
        tell=call.telling("waiting for the proof that no process is left", limit),
        known=answer.run,
    )
    return KillResult(
        message=sentences.killed(before, run, confirmed=is_gone(run), limit=limit),
        run_id=checked,
        status=run.status,
        confirmed=is_gone(run),
        killed_at=_killed_at(run),
        kill_receipt=run.kill_receipt,
    )


async def restart_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    reason: Reason = None,
    resume: Annotated[
        bool, Field(description="Go on from the last checkpoint instead of the beginning.")
    ] = False,
    params: Annotated[
        dict[str, Any] | None, Field(description="Parameters to change; the others stay as they were.")
    ] = None,
) -> RestartResult:
    """Start a run again with the same configuration under a new run id. A run that is alive is killed first.

    Waits until the new run has started; `status` is that of the new run.
    """
    checked = run_id_of(run_id)
    try:
        answer = await call.client.restart_run(
            checked, reason=reason, resume=resume, params=params, wait=AT_ONCE
        )
    except NotFound:
        raise unknown_run(checked) from None
    except Conflict as error:
        raise _naming_the_follower(error, await call.run(checked)) from None
    limit = await _limit(call, await call.run(checked), None)
    new = await until(
        call.client,
        answer.new_run_id,
        lambda run: run.status not in NOT_STARTED,
        timeout=limit,
        tell=call.telling(f"waiting for it to start in place of {checked}", limit),
    )
    old = await call.run(checked)
    return RestartResult(
        message=sentences.restarted(old, new), run_id=checked, new_run_id=new.run_id, status=new.status
    )


async def force_complete_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    outcome: Annotated[Outcome, Field(description="The outcome to declare.")] = "failed",
    reason: Reason = None,
    detach: Annotated[
        bool, Field(description="Leave the run's processes alive instead of ending them first.")
    ] = False,
) -> ForceCompleteResult:
    """Declare the outcome of a run that will not end by itself. Its process tree is ended first, unless `detach`.

    The log keeps who declared it and what was really seen. A run that has already ended is refused.
    """
    checked = run_id_of(run_id)
    try:
        answer = await call.client.force_complete_run(
            checked, outcome=outcome, reason=reason, detach=detach, wait=AT_ONCE
        )
    except NotFound:
        raise unknown_run(checked) from None
    limit = await _limit(call, answer.run, None)
    run = await until(
        call.client,
        checked,
        lambda run: run.status.ended,
        timeout=limit,
        tell=call.telling(f"waiting until it can be declared {outcome}", limit),
        known=answer.run,
    )
    return ForceCompleteResult(
        message=sentences.declared(run, outcome, limit=limit),
        run_id=checked,
        status=run.status,
        override=run.override,
    )


def is_gone(run: Run) -> bool:
    """Whether it was shown that no process of the run is left, or no process was ever started for it."""
    if not run.status.ended or run.status is Status.LOST:
        return False
    if not run.attempts:
        return True
    receipt, last = run.kill_receipt, run.attempts[-1]
    if last.main is None:
        return run.override is None
    return bool(last.verified_by) or (receipt is not None and receipt.verified and not receipt.survivors)


def _killed_at(run: Run) -> Moment | None:
    if run.kill_receipt is not None and run.status.ended:
        return run.kill_receipt.ended_at
    return run.ended_at if run.status in {Status.KILLED, Status.CANCELED} else None


def limit_of(grace: float | None) -> float:
    """Seconds to wait for an end, by the grace that was named."""
    return (GRACE_NOT_KNOWN if grace is None else grace) + BEYOND_GRACE


async def _limit(call: Call, run: Run, grace: float | None) -> float:
    """Seconds to wait for the end of a run: its grace, the workflow's own where none was named, and some more."""
    if grace is None and run.status is Status.TERMINATING:
        page = await call.client.events(run_id=run.run_id, type="RunTerminating")
        told = [record.data.get("grace_seconds") for record in page.items]
        grace = next((float(one) for one in reversed(told) if isinstance(one, int | float)), None)
    return limit_of(grace)


def _naming_the_follower(error: Conflict, run: Run) -> Conflict:
    fields = {"new_run_id": run.restarted_as} | {name: value for name, value in error.fields.items() if value}
    return Conflict(error.message, code=error.error_code, **fields)
