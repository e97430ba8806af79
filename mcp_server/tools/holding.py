"""Holding runs: pause and continue. Each waits for what it promises, within a limit, and says what it saw."""

from mcp_server.results import PauseResult
from mcp_server.tools.arguments import Reason, RunIdArgument
from mcp_server.tools.call import Call, run_id_of, unknown_run
from mcp_server.waiting import until
from runplane.contract.errors import NotFound
from runplane.contract.run import Held, Run, Status

AT_ONCE = 2.0
LIMIT = 20.0


async def pause_workflow(call: Call, *, run_id: RunIdArgument, reason: Reason = None) -> PauseResult:
    """Pause a run: stop every process of it where it is, whatever program it is. Its work is kept in memory.

    `status` is `paused` once all of its processes stand still. continue_workflow lets it go on; it can be killed or
    restarted while it is paused.
    """
    checked = run_id_of(run_id)
    try:
        answer = await call.client.pause_run(checked, reason=reason, wait=AT_ONCE)
    except NotFound:
        raise unknown_run(checked) from None
    run = await until(
        call.client,
        checked,
        _is_held_or_over,
        timeout=LIMIT,
        tell=call.telling("waiting until all of its processes stand still", LIMIT),
        known=answer.run,
    )
    return PauseResult(message=_paused(run), run_id=checked, status=run.status, held=run.held)


async def continue_workflow(call: Call, *, run_id: RunIdArgument, reason: Reason = None) -> PauseResult:
    """Let a paused run go on. The time it was held counts for no timeout."""
    checked = run_id_of(run_id)
    try:
        before = (await call.client.get_run(checked)).held
        answer = await call.client.continue_run(checked, reason=reason, wait=AT_ONCE)
    except NotFound:
        raise unknown_run(checked) from None
    run = await until(
        call.client,
        checked,
        lambda run: run.held != before,  # it may be held again at once, at the next breakpoint
        timeout=LIMIT,
        tell=call.telling("waiting for it to go on", LIMIT),
        known=answer.run,
    )
    return PauseResult(message=_continued(run, before), run_id=checked, status=run.status, held=run.held)


def _is_held_or_over(run: Run) -> bool:
    return run.status is Status.PAUSED or run.status.ended


def _paused(run: Run) -> str:
    if run.status is Status.PAUSED:
        return (
            f"{run.run_id} is paused: all of its processes stand still. Call continue_workflow to let it go on, "
            "kill_workflow to end it."
        )
    if run.status.ended:
        return f"{run.run_id} is {run.status}: it ended before it could be paused."
    return _unheard(run)


def _continued(run: Run, before: Held | None) -> str:
    if run.held is not None and run.held == before:
        return _unheard(run)
    if run.held is not None:
        return f"{run.run_id} went on and is held again, at {run.held.at} ({run.held.reason})."
    held = run.attempts[-1].held_seconds if run.attempts else 0.0
    return f"{run.run_id} is {run.status}; it was held for {held:.1f} s in all."


def _unheard(run: Run) -> str:
    return (
        f"{run.run_id} is still {run.status}: its host {run.host} has not answered yet. The order stands; call "
        "list_hosts, then get_workflow_status."
    )
