"""What the tools say in a sentence or two: what happened, to which run, and what to call next."""

from mcp_server.untrusted import quoted
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.run import AWAITING_DECISION, HOST_UNREACHABLE, Outcome, Run, Status


def killed(before: Run, run: Run, *, confirmed: bool, limit: float) -> str:
    """After a kill."""
    follower = _follower(run)
    if not run.status.ended:
        return (
            f"{run.run_id} is still {run.status} after {limit:g} s: it is not proven that all its processes are gone. "
            f"{_conditions(run)}Call kill_workflow with force=true, or wait_for_workflow to wait on; on the host, "
            f"`runplane status {run.run_id}` names the processes.{follower}"
        )
    if before.status.ended:
        proof = (
            "no process of it is left"
            if confirmed
            else "it was never shown that its processes are gone, so look on its host"
        )
        return f"{run.run_id} had already ended as {run.status}; nothing was changed, and {proof}.{follower}"
    if run.status is Status.CANCELED:
        return f"{run.run_id} is canceled: it was killed before any process of it existed.{follower}"
    if run.status is not Status.KILLED:
        proof = (
            "and no process of it is left"
            if confirmed
            else "but it was not shown that its processes are gone"
        )
        return f"{run.run_id} ended as {run.status} before the kill took hold, {proof}.{follower}"
    return f"{run.run_id} is killed{_proof(run)}. Call restart_workflow to start it again.{follower}"


def restarted(old: Run, new: Run) -> str:
    """After a restart; ``old`` and ``new`` as they stand now."""
    if not old.status.ended:
        return (
            f"{new.run_id} will start in place of {old.run_id}, which is still {old.status}: a second one is not "
            f"started beside it. Call kill_workflow for {old.run_id} with force=true, then wait_for_workflow "
            f"for {new.run_id}."
        )
    begun = f"{old.run_id} is {old.status}; {new.run_id} was started in its place and is {new.status}"
    if new.status is Status.PENDING:
        return (
            f"{begun}: no host has taken it yet. Call list_hosts to see whether one is online with a free slot, "
            f"and get_workflow_status for {new.run_id} later."
        )
    return f"{begun}. Call wait_for_workflow for {new.run_id} to see how it ends."


def declared(run: Run, outcome: Outcome, *, limit: float) -> str:
    """After a force-complete."""
    if not run.status.ended:
        return (
            f"{run.run_id} is still {run.status} after {limit:g} s, so it is not declared {outcome} yet: its processes "
            f"are not proven gone. {_conditions(run)}Call wait_for_workflow to wait on, or force_complete_workflow "
            f"with detach=true to leave them behind."
        )
    if run.override is None:
        return f"{run.run_id} ended as {run.status} by itself before it could be declared {outcome}; that stands."
    return f"{run.run_id} is declared {run.status} by {run.override.by}. Observed: {quoted(run.override.observed)}."


def started(run: Run, unused: tuple[str, ...]) -> str:
    """After a start."""
    said = f"{run.run_id} of workflow {run.workflow} was accepted and is {run.status}. "
    if unused:
        said += (
            f"Not used: {', '.join(unused)}. The workflow declares no such parameter, so the run does not know of "
            f"{'it' if len(unused) == 1 else 'them'}. "
        )
    return said + f"Call wait_for_workflow or get_workflow_status with {run.run_id} next."


def standing(run: Run) -> str:
    """How a run stands."""
    said = [f"{run.run_id} of workflow {run.workflow} is {run.status}"]
    if run.host and not run.status.ended:
        said.append(f" on {run.host}")
    if run.progress is not None and run.progress.done is not None:
        total = f" of {run.progress.total:g}" if run.progress.total is not None else ""
        said.append(f", {run.progress.done:g}{total} done")
    if run.expected_end is not None:
        said.append(f", expected to end at {run.expected_end:%H:%M:%S} UTC")
    if run.exit is not None and run.status.ended:
        ending = f"exit code {run.exit.code}" if run.exit.code is not None else f"signal {run.exit.signal}"
        said.append(f" ({ending})")
    if run.failure is not None:
        said.append(f", {run.failure.kind}: {quoted(run.failure.message)}")
    said.append(". ")
    if (stuck := stuck_of(run)) == HOST_UNREACHABLE:
        said.append(
            f"Host {run.host} is not heard from: the run lives on there as far as anyone knows, and orders to it wait "
            "for the host. Call list_hosts; the operator has to look at its machine and agent. "
        )
    elif stuck:
        said.append(
            f"It looks stuck ({stuck}): diagnose_workflow shows what it waits for; kill_workflow or restart_workflow "
            "end it. "
        )
    return "".join(said).rstrip() + _follower(run)


def diagnosed(diagnosis: Diagnosis) -> str:
    """The sentence of a diagnosis, and what to call next."""
    said = f"{diagnosis.run_id}: {diagnosis.sentence}"
    if diagnosis.condition is not None:
        return f"{said} It counts as stuck ({diagnosis.condition.verdict}): kill_workflow or restart_workflow end it."
    if diagnosis.status.ended:
        return f"{said} Call get_workflow_logs for what it printed, restart_workflow to start it again."
    return said


def stuck_of(run: Run) -> str | None:
    """The verdict of the stuck detector, or None."""
    return next((c.verdict or "stuck" for c in run.conditions if c.type == "stuck"), None)


def _proof(run: Run) -> str:
    receipt = run.kill_receipt
    if receipt is None:
        return ""
    number = len(receipt.processes)
    how = f" by {', '.join(receipt.verified_by)}" if receipt.verified_by else ""
    processes = f"{number} process{'' if number == 1 else 'es'} ended" if number else "its processes ended"
    return f" ({receipt.method}): {processes} in {receipt.duration_ms:.0f} ms, verified gone{how}"


def _conditions(run: Run) -> str:
    return "".join(f"{condition.type}: {quoted(condition.detail, 400)}. " for condition in run.conditions)


def _follower(run: Run) -> str:
    return f" It was restarted as {run.restarted_as}, which is a run of its own." if run.restarted_as else ""


def awaiting_of(run: Run) -> str | None:
    """Why an operator has to decide; None where nobody has to."""
    return next((one.detail for one in run.conditions if one.type == AWAITING_DECISION), None)
