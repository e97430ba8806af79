"""Starting runs, and what can be started."""

from typing import Annotated, Any

from pydantic import Field

from mcp_server.results import StartResult, WorkflowItem, WorkflowList
from mcp_server.tools import sentences
from mcp_server.tools.arguments import WorkflowNameArgument
from mcp_server.tools.call import Call
from runplane.client import WorkflowView
from runplane.contract.errors import InvalidInput, NotFound
from runplane.contract.ids import is_name

NAMES_SHOWN = 20


async def run_workflow(
    call: Call,
    *,
    workflow_name: WorkflowNameArgument,
    params: Annotated[
        dict[str, Any] | None, Field(description="The workflow's parameters, as its JSON Schema wants them.")
    ] = None,
    message: Annotated[
        str | None, Field(description="The task, for a workflow with a parameter `message`.")
    ] = None,
    max_turns: Annotated[
        int | None, Field(ge=1, description="The most turns, for a workflow with a parameter `max_turns`.")
    ] = None,
    persistent: Annotated[
        bool | None, Field(description="Keep the workspace, for a workflow with a parameter `persistent`.")
    ] = None,
    session_name: Annotated[
        str | None, Field(description="For a workflow with a parameter `session_name`.")
    ] = None,
    git_branch: Annotated[
        str | None, Field(description="For a workflow with a parameter `git_branch`.")
    ] = None,
    repository_url: Annotated[
        str | None, Field(description="For a workflow with a parameter `repository_url`.")
    ] = None,
    breakpoints: Annotated[
        list[str] | None,
        Field(
            max_length=200, description="Where to hold it: step:NAME, step:* for every step, or FILE:LINE."
        ),
    ] = None,
    debug: Annotated[
        bool, Field(description="Run a Python workflow under a debugger, for FILE:LINE.")
    ] = False,
) -> StartResult:
    """Start a run of a registered workflow and answer at once with its run id.

    `message`, `max_turns` and the others after `params` become parameters of the same name where the workflow declares
    them; `unused_arguments` names those that it does not.
    """
    view = await _workflow(call, workflow_name)
    given = {
        "message": message,
        "max_turns": max_turns,
        "persistent": persistent,
        "session_name": session_name,
        "git_branch": git_branch,
        "repository_url": repository_url,
    }
    asked, unused = _merged(
        view, params or {}, {name: value for name, value in given.items() if value is not None}
    )
    run = await call.client.start_run(view.name, asked, debug=debug, breakpoints=breakpoints or ())
    return StartResult(
        message=sentences.started(run, unused),
        run_id=run.run_id,
        status=run.status,
        workflow=run.workflow,
        workflow_version=run.workflow_version,
        params=run.params,
        unused_arguments=unused,
    )


async def list_workflows(call: Call) -> WorkflowList:
    """List the registered workflows, each with its description and the JSON Schema of its parameters."""
    views = await call.client.workflows()
    items = tuple(
        WorkflowItem(
            name=view.name,
            description=view.definition.description,
            version=view.version,
            pool=view.definition.pool,
            params=view.definition.params,
        )
        for view in views
        if not view.deleted
    )
    names = ", ".join(item.name for item in items[:NAMES_SHOWN]) + (", …" if len(items) > NAMES_SHOWN else "")
    said = (
        f"{len(items)} workflow{'' if len(items) == 1 else 's'}: {names}. Call run_workflow to start one."
        if items
        else "No workflow is registered. Ask the operator to register one with `runplane workflows apply FILE`."
    )
    return WorkflowList(message=said, workflows=items, total=len(items))


async def _workflow(call: Call, name: str) -> WorkflowView:
    asked = name.strip()
    if is_name(asked):
        try:
            return await call.client.workflow(asked)
        except NotFound:
            pass
    known = sorted(view.name for view in await call.client.workflows() if not view.deleted)
    there_are = f"There are: {', '.join(known[:NAMES_SHOWN])}." if known else "None is registered."
    raise NotFound(
        f"There is no workflow {asked[:80]!r}, so nothing was started. {there_are} Call list_workflows for their "
        "parameters.",
        code="unknown_workflow",
        workflow=asked[:80],
    )


def _merged(
    view: WorkflowView, params: dict[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters to start with, and the names of what the workflow does not declare."""
    properties = view.definition.params.get("properties", {})
    declared = set(properties) if isinstance(properties, dict) else set()
    twice = sorted(name for name in given if name in params and params[name] != given[name])
    if twice:
        raise InvalidInput(
            f"{', '.join(twice)} was given twice with different values, as an argument and in params, so nothing was "
            "started: give it once.",
            code="given_twice",
        )
    used = {name: value for name, value in given.items() if name in declared or name in params}
    return {**used, **params}, tuple(name for name in given if name not in used)
