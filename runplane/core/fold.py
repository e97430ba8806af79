"""``apply(state, record, seq) -> state``: how the log becomes state.

Total and deterministic: a record that is impossible, late, doubled or foreign raises nothing and is kept as an
anomaly. The first ending in log order wins; nothing but an operator's ``OutcomeOverridden`` with ``replaced``
moves an ended status. Order is the order of the log: no clock is compared.
"""

from collections.abc import Iterable
from typing import Any

from runplane.contract.commands import RestartRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import OutcomeOverridden
from runplane.contract.run import NextAttempt, Run, Status
from runplane.contract.spec import RunSpec
from runplane.core.facts import tell
from runplane.core.objections import objection
from runplane.core.state import Anomaly, Debugging, RunState
from runplane.core.status import DECLARED, PREVIOUS, follow

MAX_ANOMALIES = 20
"""Anomalies kept with their text; beyond it they are only counted."""


def initial() -> RunState:
    """The state before anything was asked."""
    return RunState()


def apply(state: RunState, record: Envelope, seq: int) -> RunState:
    """Fold one record, stored at log position ``seq``, into the state of the run whose story it stands in."""
    event_seq = state.event_seq if record.is_command else seq
    run = state.run
    if run is None:
        return _asked(state.model_copy(update={"event_seq": event_seq}), record, seq)
    why = objection(state, run, record)
    if why is not None:
        return _with_anomaly(state.model_copy(update={"event_seq": event_seq}), record, seq, why)
    of_run, of_state = tell(state, run, record)
    status = _next_status(state, run, record)
    told = run.model_copy(update=of_run | {"status": status, "seq": seq})
    if status.ended and not run.status.ended:
        told = _ended(told, record)
        of_state = of_state | {"debugging": Debugging()}
    return state.model_copy(update=of_state | {"run": told, "event_seq": event_seq})


def fold(records: Iterable[tuple[int, Envelope]], state: RunState | None = None) -> RunState:
    """Fold records, in log order, onto a state (by default onto nothing)."""
    current = state if state is not None else initial()
    for seq, record in records:
        current = apply(current, record, seq)
    return current


def _asked(state: RunState, record: Envelope, seq: int) -> RunState:
    """The first record of a run's story that makes it a run: StartRun, or the RestartRun of another."""
    data = record.data
    if isinstance(data, StartRun) and data.run_id == record.run_id:
        # A host hears of a run by the order for the attempt that it is to begin.
        before: dict[str, Any] = {
            "attempt": data.attempt - 1,
            "recovers": data.recovers,
            "next_attempt": _resumed(data),
        }
        if data.resume is not None:
            before["checkpoint"] = data.resume.checkpoint
        run = _new_run(state, record, data.spec, seq).model_copy(update=before)
        return state.model_copy(update={"run": run, "spec": data.spec})
    if isinstance(data, RestartRun) and data.new_run_id == record.run_id:
        before = {"restarted_from": data.run_id, "next_attempt": _resumed(data)}
        run = _new_run(state, record, data.spec, seq).model_copy(update=before)
        return state.model_copy(update={"run": run, "spec": data.spec})
    return _with_anomaly(state, record, seq, "it speaks of a run that nobody asked for")


def _resumed(order: StartRun | RestartRun) -> NextAttempt | None:
    """An attempt that does not begin at the beginning is said to be one before it is claimed."""
    number = order.attempt if isinstance(order, StartRun) else 1
    return NextAttempt(attempt=number, resume=True) if order.resume else None


def _new_run(state: RunState, record: Envelope, spec: RunSpec, seq: int) -> Run:
    return Run(
        run_id=record.run_id or "",
        workflow=spec.workflow,
        workflow_version=spec.workflow_version,
        status=Status.PENDING,
        host=spec.host,
        pool=spec.pool,
        params=spec.params,
        breakpoints=spec.breakpoints,
        queued=spec.concurrency is not None,
        created_at=record.time,
        requested_by=record.actor.principal,
        requested_via=record.actor.surface,
        anomalies=len(state.anomalies),
        seq=seq,
    )


def _next_status(state: RunState, run: Run, record: Envelope) -> Status:
    if isinstance(record.data, OutcomeOverridden):
        return Status(record.data.outcome)
    target = follow(run.status, record.type)
    if target is None or target == DECLARED:
        return run.status
    if target == PREVIOUS:
        return state.status_before or Status.RUNNING
    return Status(target)


def _ended(run: Run, record: Envelope) -> Run:
    """What every ending has in common. Processes that an operator detached from the run have not ended."""
    attempts = run.attempts
    detached = isinstance(record.data, OutcomeOverridden) and record.data.detached
    if attempts and attempts[-1].ended_at is None and not detached:
        attempts = (*attempts[:-1], attempts[-1].model_copy(update={"ended_at": record.time}))
    host = run.host or (attempts[-1].host if attempts else None)
    over = {"host": host, "step": None, "held": None, "conditions": (), "next_attempt": None, "queued": False}
    return run.model_copy(update={"ended_at": record.time, "attempts": attempts, **over})


def _with_anomaly(state: RunState, record: Envelope, seq: int, why: str) -> RunState:
    anomaly = Anomaly(seq=seq, type=record.type, status=state.status, why=why)
    kept = (*state.anomalies, anomaly)[:MAX_ANOMALIES]
    if state.run is None:
        return state.model_copy(update={"anomalies": kept})
    run = state.run.model_copy(update={"anomalies": state.run.anomalies + 1, "seq": seq})
    return state.model_copy(update={"anomalies": kept, "run": run})
