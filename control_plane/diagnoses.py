"""Answers what a run does and waits for: asks the agent on its host, or says why nobody can be asked.

Called by the API and the dashboard. Rules: asking has a limit in time; where no agent can look, the answer is a
sentence that says so, with what was last seen of the run, and when.
"""

import asyncio

from control_plane.absence import sentence_of_ended, sentence_of_pending
from control_plane.command_side import CommandSide
from control_plane.read_model import EventFilter, HostView, ReadModel
from control_plane.waiting import raise_if_rejected
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.errors import Unavailable
from runplane.contract.events import DiagnosisTaken
from runplane.contract.run import Actor, Run, Status
from runplane.stamp import now

USUAL_SECONDS = 15.0
"""How long a diagnosis is waited for where the caller says nothing; a look has its own limit on the host."""


class Diagnoses:
    """Of all runs."""

    def __init__(self, command_side: CommandSide, read_model: ReadModel) -> None:
        """Nothing is asked before :meth:`diagnose`."""
        self._command_side = command_side
        self._read_model = read_model

    def last(self, run_id: str) -> Diagnosis | None:
        """The last one that an agent took, by request or by itself."""
        taken = self._read_model.events(
            EventFilter(run_id=run_id, type=DiagnosisTaken.__name__, newest=True, limit=1)
        )
        return _taken(taken[-1][1].data) if taken else None

    async def diagnose(self, run_id: str, actor: Actor, seconds: float = USUAL_SECONDS) -> Diagnosis:
        """A diagnosis of now. NotFound where there is no such run, Unavailable when no answer came in time."""
        state = await self._command_side.state_of(run_id)
        run = state.run
        assert run is not None  # noqa: S101 — the desk finds runs only
        absent = self._not_to_be_asked(run)
        if absent is not None:
            return self._by_itself(run, absent)
        command_id = await self._command_side.diagnose_run(run_id, actor)
        taken = await self._answer_to(command_id, seconds)
        if taken is not None:
            return taken
        raise Unavailable(
            f"{run_id}: host {run.host} has not answered within {seconds:g} s. It was asked, and its answer will stand "
            f"in the log: runplane diagnose {run_id} --last shows the last one, runplane hosts how the host is",
            code="diagnosis_not_there",
            run_id=run_id,
            host=run.host,
            command_id=command_id,
        )

    async def _answer_to(self, command_id: str, seconds: float) -> Diagnosis | None:
        """Subscribed first and looked second, so that nothing falls between."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with self._read_model.subscribe(types={"DiagnosisTaken", "CommandRejected"}) as changes:
            while True:
                found = self._read_model.events(
                    EventFilter(command_id=command_id, type=DiagnosisTaken.__name__, limit=1)
                )
                if found:
                    return _taken(found[0][1].data)
                raise_if_rejected(self._read_model, command_id)
                try:
                    async with asyncio.timeout_at(deadline):
                        async for change in changes:
                            if change.envelope is None or change.envelope.command_id == command_id:
                                break
                except TimeoutError:
                    return None

    def _not_to_be_asked(self, run: Run) -> str | None:
        """Why no agent can look at it, in a sentence; None where one can."""
        if run.status.ended:
            return sentence_of_ended(run)
        if run.status is Status.PENDING:
            return sentence_of_pending(run, self._read_model.hosts())
        host = self._read_model.host(run.host) if run.host is not None else None
        return _of_absent(run, host) if host is None or host.status == "absent" else None

    def _by_itself(self, run: Run, sentence: str) -> Diagnosis:
        """What is known here, over what was seen last."""
        last = self.last(run.run_id)
        moment = now()
        unseen = ["no agent could look at it now"]
        if last is not None:
            unseen = [
                f"processes and output are as they were at {last.taken_at:%Y-%m-%d %H:%M:%S} UTC",
                *last.unseen,
            ]
        seen = last or Diagnosis(
            run_id=run.run_id, workflow=run.workflow, status=run.status, sentence=sentence, taken_at=moment
        )
        return seen.model_copy(
            update={
                "status": run.status,
                "attempt": run.attempt,
                "host": run.host,
                "sentence": sentence,
                "condition": next((one for one in run.conditions if one.type == "stuck"), None),
                "progress": run.progress,
                "quiet_seconds": None,
                "unseen": tuple(unseen),
                "taken_at": moment,
                "duration_ms": 0.0,
            }
        )


def _of_absent(run: Run, host: HostView | None) -> str:
    since = f" since {host.last_seen:%H:%M:%S} UTC" if host is not None else ""
    return (
        f"{run.workflow} cannot be looked at: its host {run.host} has not been heard from{since}; its processes may "
        f"well be alive there. Look at the machine and its agent (runplane hosts)."
    )


def _taken(data: object) -> Diagnosis:
    assert isinstance(data, DiagnosisTaken)  # noqa: S101 — asked for by type
    return data.diagnosis
