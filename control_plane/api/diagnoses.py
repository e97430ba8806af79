"""Diagnoses: what a run does and waits for."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from control_plane.api.parts import (
    BASE,
    LONGEST_WAIT_SECONDS,
    ActorOf,
    ContextOf,
    Reflects,
    RunIdOf,
    answer,
    only,
    problems,
)
from control_plane.diagnoses import USUAL_SECONDS
from runplane.contract.diagnosis import Diagnosis
from runplane.contract.errors import NotFound

router = APIRouter(prefix=BASE, tags=["runs"])


@router.post(
    "/runs/{run_id}/diagnose",
    summary="Find out what a run does and waits for",
    response_model=Diagnosis,
    responses=problems(404, 503),
    dependencies=[only("wait")],
)
async def diagnose_run(
    context: ContextOf,
    actor: ActorOf,
    run_id: RunIdOf,
    wait: Annotated[
        float, Query(gt=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the host's answer")
    ] = USUAL_SECONDS,
) -> Response:
    """One plain sentence, and the evidence: processes, what their threads wait for, stacks, sockets, files, output.

    The run goes on undisturbed. It is looked at on its host; where no agent can look (the run is pending, has ended, or
    its host is away) the sentence says why, over what was last seen.
    """
    return answer(await context.diagnoses.diagnose(run_id, actor, wait))


@router.get(
    "/runs/{run_id}/diagnosis",
    summary="The last diagnosis of a run",
    response_model=Diagnosis,
    responses=problems(404, 503),
    dependencies=[only(), Reflects],
)
async def last_diagnosis(context: ContextOf, run_id: RunIdOf) -> Response:
    """The last one that was taken: somebody asked, or the run became stuck."""
    await context.command_side.state_of(run_id)
    last = context.diagnoses.last(run_id)
    if last is None:
        raise NotFound(
            f"no diagnosis of {run_id} was taken yet: runplane diagnose {run_id} takes one",
            code="diagnosis_not_found",
            run_id=run_id,
        )
    return answer(last)
