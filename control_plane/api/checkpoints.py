"""The checkpoints of a run: which there are, and what one holds."""

import json
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from control_plane.api.documents import CheckpointDocument, CheckpointList, CheckpointView
from control_plane.api.events import require_run
from control_plane.api.parts import BASE, ContextOf, Reflects, RunIdOf, answer, problems
from runplane.contract.errors import NotFound
from runplane.contract.events import CheckpointsPruned, CheckpointStored

router = APIRouter(prefix=BASE, tags=["runs"])


@router.get(
    "/runs/{run_id}/checkpoints",
    summary="List a run's checkpoints",
    response_model=CheckpointList,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def list_checkpoints(context: ContextOf, run_id: RunIdOf) -> Response:
    """The checkpoints that were stored, the oldest first; `pruned` ones are not there any more."""
    require_run(context, run_id)
    records = context.read_model.story(run_id, {CheckpointStored.__name__, CheckpointsPruned.__name__})
    pruned = {
        digest for _, one in records if isinstance(one.data, CheckpointsPruned) for digest in one.data.digests
    }
    items = tuple(
        CheckpointView(
            id=record.data.digest,
            attempt=record.attempt,
            number=record.data.number,
            at=record.time,
            bytes=record.data.bytes,
            files={name: file.bytes for name, file in record.data.files.items()},
            pruned=record.data.digest in pruned,
        )
        for _, record in records
        if isinstance(record.data, CheckpointStored)
    )
    return answer(CheckpointList(items=items))


@router.get(
    "/runs/{run_id}/checkpoints/{digest}",
    summary="Look at a checkpoint",
    response_model=CheckpointDocument,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def get_checkpoint(
    context: ContextOf,
    run_id: RunIdOf,
    digest: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The checkpoint's `id`")],
) -> Response:
    """The state that the workflow gave, and its files by name. A file's content is at `/values`."""
    require_run(context, run_id)
    data = await context.bus.objects.get(digest)
    document = json.loads(data) if data is not None else None
    if not isinstance(document, dict) or "state" not in document:
        raise NotFound(
            f"{run_id} has no checkpoint {digest[:12]}… any more: it was pruned, or is older than 30 days; see "
            f"runplane checkpoints {run_id}",
            code="checkpoint_not_found",
            run_id=run_id,
        )
    return answer(
        CheckpointDocument(
            id=digest,
            run_id=document["run_id"],
            attempt=document["attempt"],
            number=document["number"],
            state=document["state"],
            files=document.get("files", {}),
        )
    )
