"""Why a run has no processes to look at, in one plain sentence that ends with what to do. Pure."""

from collections.abc import Sequence

from control_plane.read_model import HostView
from runplane.contract.run import Run, Status


def sentence_of_pending(run: Run, hosts: Sequence[HostView]) -> str:
    """Who could take it, and why nobody has."""
    if run.queued:
        return (
            f"{run.workflow} waits for its turn: as many runs as concurrency.limit allows are open. It starts when "
            f"one of them ends; runplane ps --workflow {run.workflow} shows them."
        )
    if run.awaits_decision:
        return (
            f"{run.workflow} waits for a decision: its recovery has come to its end. Say what becomes of it with "
            f"runplane decide {run.run_id} retry, resume, restart or give-up."
        )
    following = run.next_attempt
    if following is not None and following.at is not None and run.attempts:
        return (
            f"{run.workflow} waits for attempt {following.attempt}, at {following.at:%Y-%m-%d %H:%M:%S} UTC "
            f"({following.why}). runplane decide {run.run_id} retry begins it now."
        )
    if run.host is not None:
        meant = f"{run.workflow} waits for host {run.host}"
        serving = [host for host in hosts if host.host_id == run.host]
        nobody = (
            f"{meant}, which has never joined: start an agent there (runplane agent --host-id {run.host})."
        )
    else:
        pool = run.pool or "default"
        meant = f"{run.workflow} waits for a host of pool {pool}"
        serving = [host for host in hosts if pool in host.pools]
        nobody = (
            f"{meant}, and no host serves it: start an agent with that pool, or start the run in another one."
        )
    if not serving:
        return nobody
    online = [host for host in serving if host.status == "online"]
    if not online:
        away = ", ".join(f"{host.host_id} ({host.status})" for host in serving[:5])
        return f"{meant}, and none takes runs now: {away}. See runplane hosts."
    free = sum(max(0, host.slots - host.running) for host in online)
    if not free:
        full = ", ".join(
            f"{host.host_id} ({host.running} of {host.slots} slots taken)" for host in online[:5]
        )
        return f"{meant}: all are full: {full}. It starts when a run ends; runplane ps shows which are there."
    slots = "is 1 slot" if free == 1 else f"are {free} slots"
    return f"{meant}; there {slots} free, so it should start within a moment."


def sentence_of_ended(run: Run) -> str:
    """How it ended, by whose order or why, and whether anything of it is left."""
    when = f" at {run.ended_at:%Y-%m-%d %H:%M:%S} UTC" if run.ended_at is not None else ""
    said = f"{run.workflow} has ended: {run.status}{when}"
    if run.override is not None:
        said += f", declared by {run.override.by} ({run.override.via})"
    elif run.kill_receipt is not None and run.status is Status.KILLED:
        said += f", by order of {run.kill_receipt.requested_by} ({run.kill_receipt.via})"
    elif run.failure is not None:
        said += f", {run.failure.kind}: {run.failure.message}"
    elif run.exit is not None:
        said += f", exit code {run.exit.code}" if run.exit.code is not None else f", by {run.exit.signal}"
    proof = run.attempts[-1].verified_by if run.attempts else ()
    if proof:
        said += f"; no process of it is left (shown by {', '.join(proof)})"
    said = f"{said.rstrip('.')}."
    return f"{said} It was restarted as {run.restarted_as}." if run.restarted_as is not None else said
