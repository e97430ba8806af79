"""What is done about a run that is stuck: nothing, a kill, another attempt, or a restart, as its workflow says.

Another attempt (``retry``) is an attempt of the same run, by its recovery policy. A restart is another run.
A run that gets stuck again and again is not restarted for ever: after :data:`MOST_RESTARTS` in a row, or as many
attempts as ``retry.max_attempts`` allows, it is killed.
"""

from runplane.contract.commands import EndAttempt, KillRun, RestartRun
from runplane.contract.ids import derive_run_id
from runplane.contract.run import Condition, Failure, Status
from runplane.core.state import RunState

STUCK = "stuck"
MOST_RESTARTS = 3
_REASON_LENGTH = 300


def decide(
    state: RunState, condition: Condition, *, cause: str, restarts_before: int
) -> KillRun | RestartRun | EndAttempt | None:
    """The order to give now that this condition was raised.

    ``cause``: the id of the record that raised it, from which the new run's id is derived; ``restarts_before``: how
    many runs in a row before this one were restarted for being stuck.
    """
    run, spec = state.run, state.spec
    if run is None or spec is None or condition.type != STUCK or spec.stuck.action == "notify":
        return None
    if run.status not in (Status.STARTING, Status.RUNNING) or run.restarted_as is not None:
        return None
    if all(one.type != STUCK for one in run.conditions):
        return None  # it has recovered since: the order would come too late, and hit a healthy run
    reason = f"{STUCK} ({condition.verdict}): {condition.detail}"[:_REASON_LENGTH]
    if spec.stuck.action == "kill":
        return KillRun(run_id=run.run_id, reason=reason)
    if spec.stuck.action == "retry":
        failure = Failure(kind=STUCK, message=reason)
        return EndAttempt(run_id=run.run_id, attempt=run.attempt, ending="stuck", failure=failure)
    most = spec.retry.max_attempts - 1 if spec.retry.max_attempts > 1 else MOST_RESTARTS
    if restarts_before >= most:
        why = f"{reason}; it was restarted {restarts_before} times for being stuck, and is not once more"
        return KillRun(run_id=run.run_id, reason=why)
    new_run_id = derive_run_id(STUCK, cause, run.run_id)
    return RestartRun(run_id=run.run_id, new_run_id=new_run_id, spec=spec, reason=reason)
