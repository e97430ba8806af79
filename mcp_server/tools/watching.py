"""How a run stands, waiting for its end, and how the whole system stands."""

import time
from typing import Annotated, Literal

from pydantic import Field

from mcp_server.results import DiagnosisResult, HealthStatus, HostItem, HostList, RunStatus, WaitResult
from mcp_server.tools import sentences
from mcp_server.tools.arguments import RunIdArgument
from mcp_server.tools.call import Call
from mcp_server.waiting import Tell, until
from runplane.contract.errors import Unavailable
from runplane.contract.run import OPEN, Run

LONGEST_WAIT = 3600.0
USUAL_WAIT = 50.0
"""Below the minute after which many clients give a call up."""
MAX_TODO = 1_500
_BULKY = frozenset({"attempts", "kill_receipt", "resources", "usage", "params", "breakpoints"})


async def get_workflow_status(
    call: Call,
    *,
    run_id: RunIdArgument,
    detailed: Annotated[
        bool, Field(description="False leaves out attempts, receipt, resources and params.")
    ] = True,
) -> RunStatus:
    """Get one run in full: status, progress, conditions such as being stuck, exit, failure, and the kill receipt."""
    run = await call.run(run_id)
    return RunStatus.model_validate(
        {"message": sentences.standing(run)} | run.model_dump(exclude=None if detailed else set(_BULKY))
    )


async def wait_for_workflow(
    call: Call,
    *,
    run_id: RunIdArgument,
    timeout_seconds: Annotated[
        float, Field(gt=0, le=LONGEST_WAIT, description="The longest to wait; call again to wait on.")
    ] = USUAL_WAIT,
) -> WaitResult:
    """Wait until a run has ended, or the time is up; the run goes on all the same. Sends progress while waiting."""
    begun = time.monotonic()
    known = await call.run(run_id)
    run = await until(
        call.client,
        known.run_id,
        lambda run: run.status.ended,
        timeout=timeout_seconds,
        tell=_telling(call, timeout_seconds),
        known=known,
    )
    waited = time.monotonic() - begun
    after = (
        f" It has not ended after {waited:.0f} s. Call wait_for_workflow again to wait on, or get_workflow_logs to see "
        "what it does."
    )
    return WaitResult(
        message=sentences.standing(run) + ("" if run.status.ended else after),
        run_id=run.run_id,
        status=run.status,
        ended=run.status.ended,
        timed_out=not run.status.ended,
        waited_seconds=round(waited, 3),
        exit_code=run.exit.code if run.exit is not None else None,
        failure=run.failure,
        progress=run.progress,
        conditions=run.conditions,
    )


async def diagnose_workflow(call: Call, *, run_id: RunIdArgument) -> DiagnosisResult:
    """Find out what a run does and waits for, now: one plain sentence, and the evidence (processes, threads, Python
    stacks, sockets, files, last output and steps). The run goes on undisturbed.
    """
    known = await call.run(run_id)
    diagnosis = await call.client.diagnose_run(known.run_id)
    return DiagnosisResult(
        message=sentences.diagnosed(diagnosis),
        run_id=diagnosis.run_id,
        status=diagnosis.status,
        verdict=diagnosis.condition.verdict if diagnosis.condition is not None else None,
        diagnosis=diagnosis,
    )


async def list_hosts(call: Call) -> HostList:
    """List the hosts of the fleet: whether each is online, and how many of its slots are taken."""
    hosts = tuple(
        HostItem.model_validate(host.model_dump(exclude={"agent_id", "boot_id", "joined_at"}))
        for host in await call.client.hosts()
    )
    online = [host for host in hosts if host.status == "online"]
    free = sum(max(0, host.slots - host.running) for host in online)
    absent = [host.host_id for host in hosts if host.status == "absent"]
    said = f"{len(online)} of {len(hosts)} hosts online, {free} slots free."
    if absent:
        said += f" Not heard from: {', '.join(absent)}."
    if not hosts:
        said = "No host has joined yet. Ask the operator to start an agent with `runplane up` or `runplane agent`."
    return HostList(message=said, hosts=hosts, total=len(hosts))


async def get_health_status(call: Call) -> HealthStatus:
    """Say whether the control plane answers and is ready, how many hosts are online, how many runs are stuck, and what
    there is to do about each check that is not well.
    """
    try:
        ready = await call.client.ready()
        health = await call.client.health()
        hosts = await call.client.hosts()
        open_runs = await call.client.list_runs(status=sorted(OPEN), limit=1)
        stuck = await call.client.list_runs(status=sorted(OPEN), stuck=True, limit=1)
    except Unavailable as error:
        return HealthStatus(message=f"Unreachable: {error.message}", status="unreachable", ready=False)
    is_ready = ready.get("status") == "ready"
    online = sum(host.status == "online" for host in hosts)
    status: Literal["healthy", "degraded"] = (
        "healthy" if is_ready and online and health.get("status") == "ok" else "degraded"
    )
    said = (
        f"{status.capitalize()}: the control plane is {'ready' if is_ready else 'not ready'}, {online} of {len(hosts)} "
        f"hosts are online, {open_runs.total} runs are open, {stuck.total} of them look stuck."
    )
    checks = tuple(check for check in health.get("checks", ()) if isinstance(check, dict))
    todo = tuple(
        f"{check.get('name')}: {check.get('detail')}. {check['todo']}"
        for check in checks
        if check.get("todo")
    )
    if stuck.total:
        said += " Call list_recent_runs with stuck=true to see which."
    elif not online:
        said += " Runs wait until a host is online: ask the operator to look at `runplane hosts`."
    if todo:
        said += f" To do: {' | '.join(todo)}"[:MAX_TODO]
    return HealthStatus(
        message=said,
        status=status,
        ready=is_ready,
        url=call.client.url,
        version=str(health["version"]) if health.get("version") else None,
        hosts_online=online,
        hosts_total=len(hosts),
        open_runs=open_runs.total,
        stuck_runs=stuck.total,
        todo=todo,
        checks=checks,
    )


def _telling(call: Call, limit: float) -> Tell:
    """Progress of the run itself where it reports a total, else of the wait."""

    async def tell(run: Run, waited: float) -> None:
        await call.report(round(waited, 3), limit, sentences.standing(run))

    return tell
