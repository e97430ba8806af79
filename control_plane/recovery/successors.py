"""Starts the workflows that follow a run that failed, with that run as their input. Handed every event.

A workflow is started once for a run, by a key derived from it; what keeps it from being started is said in the failed
run's story. A run that was itself started like this has no such successors: a clean-up that fails is for an operator.
"""

import logging

from pydantic import JsonValue

from control_plane.command_side import CommandSide, StartRequest
from control_plane.plane_decisions import SOURCE, until_projected
from control_plane.read_model import ReadModel
from runplane.bus import Bus
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import RunplaneError, SystemFault, Unavailable
from runplane.contract.events import (
    AttemptFailed,
    CommandRejected,
    RecoveryStarted,
    RunFailed,
    RunLost,
    RunTimedOut,
)
from runplane.contract.ids import derive_record_id
from runplane.contract.run import Actor, Run
from runplane.contract.subjects import plane_event
from runplane.contract.value import Value
from runplane.core.policies.recovery import runs_after_the_last
from runplane.stamp import stamp

log = logging.getLogger("control_plane.recovery")

POLICY = Actor(principal="policy:recovery", surface="policy")
INPUTS = ("failed_run", "failed_run_id", "failed_workflow", "failure_kind", "failure_message")
"""The parameters that tell the workflow of the failed run; it is given those that it has."""


class Successors:
    """Of every run that failed for good."""

    def __init__(self, bus: Bus, read_model: ReadModel, command_side: CommandSide) -> None:
        """Nothing happens before :meth:`handle`."""
        self._bus = bus
        self._read_model = read_model
        self._command_side = command_side

    async def handle(self, envelope: Envelope, seq: int) -> None:
        """Look at one event; nearly all of them are no concern of this."""
        data = envelope.data
        if envelope.run_id is None or not isinstance(data, AttemptFailed | RunFailed | RunTimedOut | RunLost):
            return
        if isinstance(data, AttemptFailed) and data.next != "decision":
            return
        await until_projected(self._read_model, seq)
        state = self._read_model.state(envelope.run_id)
        if state is None or state.run is None or state.spec is None or state.run.recovers is not None:
            return
        if state.run.recovered_by is not None or state.run.failure is None:
            return
        for workflow in runs_after_the_last(state.spec):
            await self._start(envelope, state.run, workflow)

    async def _start(self, cause: Envelope, failed: Run, workflow: str) -> None:
        key = f"recovery/{failed.run_id}/{workflow}"
        try:
            view = self._read_model.workflow(workflow)
            known = view.definition.params.get("properties", {}) if view is not None else {}
            given = {name: value for name, value in _inputs(failed).items() if name in known}
            request = StartRequest(workflow=workflow, params=given)
            started = await self._command_side.start_run(request, POLICY, key, recovers=failed.run_id)
        except (Unavailable, SystemFault):
            raise
        except (RunplaneError, ValueError) as error:
            why = f"the recovery workflow {workflow} could not be started: {getattr(error, 'message', error)}"
            log.warning("%s: %s", failed.run_id, why)
            refused = CommandRejected(command=StartRun.__name__, code="recovery_not_started", message=why)
            await self._tell(cause, failed.run_id, refused, workflow)
            return
        log.info("%s follows the failure of %s", started.run_id, failed.run_id)
        await self._tell(
            cause, failed.run_id, RecoveryStarted(run_id=started.run_id, workflow=workflow), workflow
        )

    async def _tell(self, cause: Envelope, run_id: str, fact: Value, workflow: str) -> None:
        await self._bus.publish(
            stamp(
                fact,
                subject=plane_event(run_id),
                source=SOURCE,
                actor=POLICY,
                cause=cause,
                record_id=derive_record_id(run_id, "recovery", workflow),
            )
        )


def _inputs(failed: Run) -> dict[str, JsonValue]:
    failure = failed.failure
    checkpoint = failed.checkpoint
    return {
        "failed_run": {
            "run_id": failed.run_id,
            "workflow": failed.workflow,
            "attempt": failed.attempt,
            "host": failed.attempts[-1].host if failed.attempts else None,
            "params": failed.params,
            "failure": failure.model_dump(mode="json") if failure is not None else None,
            "checkpoint": checkpoint.id if checkpoint is not None else None,
        },
        "failed_run_id": failed.run_id,
        "failed_workflow": failed.workflow,
        "failure_kind": failure.kind if failure is not None else "",
        "failure_message": failure.message if failure is not None else "",
    }
