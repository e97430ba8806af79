"""The registry of workflows."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import WorkflowList, WorkflowRequest
from control_plane.api.parts import (
    BASE,
    ActorOf,
    ContextOf,
    KeyOf,
    OnceOf,
    Reflects,
    WaitOf,
    WorkflowNameOf,
    answer,
    body_of,
    problems,
    request_body,
)
from control_plane.api.problems import invalid_body
from control_plane.command_side.parameters import problem
from control_plane.command_side.registry import workflow_not_found
from control_plane.read_model import WorkflowView
from runplane.contract.errors import Conflict

router = APIRouter(prefix=BASE, tags=["workflows"])


@router.get(
    "/workflows",
    summary="List workflows",
    response_model=WorkflowList,
    responses=problems(503),
    dependencies=[Reflects],
)
async def list_workflows(context: ContextOf) -> Response:
    """The current version of every workflow, by name."""
    return answer(WorkflowList(items=tuple(context.read_model.workflows())))


@router.get(
    "/workflows/{name}",
    summary="Look at a workflow",
    response_model=WorkflowView,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def get_workflow(context: ContextOf, name: WorkflowNameOf) -> Response:
    """The current version."""
    view = context.read_model.workflow(name)
    if view is None:
        raise workflow_not_found(name)
    return answer(view)


@router.put(
    "/workflows/{name}",
    summary="Register a workflow",
    response_model=WorkflowView,
    responses={
        201: {"model": WorkflowView, "description": "There was no such workflow"},
        **problems(404, 409, 503),
    },
    openapi_extra=request_body(WorkflowRequest, required=True),
)
async def put_workflow(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    name: WorkflowNameOf,
    body: Annotated[WorkflowRequest, Depends(body_of(WorkflowRequest))],
    wait: WaitOf = 0.0,  # noqa: ARG001 — the effect is always waited for
    key: KeyOf = None,
) -> Response:
    """Register a new version; what stands already is not registered again."""
    if body.name is not None and body.name != name:
        raise Conflict(
            f"name is {body.name}, but the path says {name}: make them the same or leave name out",
            code="name_differs",
            errors=[problem("name", f"the path says {name}", body.name)],
        )
    try:
        definition = body.definition(name)
    except ValidationError as error:
        raise invalid_body(error) from None

    async def apply() -> Response:
        applied = await context.command_side.apply_workflow(definition, actor, key)
        versions = context.read_model.workflow_versions(name)
        view = next((view for view in versions if view.version == applied.version), None)
        if view is None:
            raise workflow_not_found(name)
        return answer(view, 201 if applied.created else 200, {"Location": f"{BASE}/workflows/{name}"})

    return await once.answer(request, actor.principal, key, apply)


@router.delete(
    "/workflows/{name}",
    summary="Remove a workflow",
    status_code=204,
    response_class=Response,
    responses=problems(404, 409, 503),
)
async def delete_workflow(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    name: WorkflowNameOf,
    wait: WaitOf = 0.0,  # noqa: ARG001 — the effect is always waited for
    key: KeyOf = None,
) -> Response:
    """Remove a workflow from the registry. Its runs keep their configuration."""

    async def delete() -> Response:
        await context.command_side.delete_workflow(name, actor, key)
        return Response(status_code=204)

    return await once.answer(request, actor.principal, key, delete)


@router.get(
    "/workflows/{name}/versions",
    summary="List the versions of a workflow",
    response_model=WorkflowList,
    responses=problems(404, 503),
    dependencies=[Reflects],
)
async def list_versions(context: ContextOf, name: WorkflowNameOf) -> Response:
    """Every version, oldest first. What became of a removed workflow stands in the audit log."""
    if context.read_model.workflow(name) is None:
        raise workflow_not_found(name)
    return answer(WorkflowList(items=tuple(context.read_model.workflow_versions(name))))
