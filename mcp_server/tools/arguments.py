"""The arguments that several tools share, with what a model is told about them."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from runplane.contract.run import Status

RunIdArgument = Annotated[
    str, Field(description="The run, like run_0dcbc991c0d4; list_recent_runs shows them.")
]
WorkflowNameArgument = Annotated[str, Field(description="The workflow's name; list_workflows shows them.")]
Reason = Annotated[
    str | None, Field(max_length=2000, description="Why, in a few words. It is kept in the audit log.")
]
Grace = Annotated[
    float | None,
    Field(
        ge=0,
        le=86_400,
        description="Seconds between the polite signal and the kill. By default what the workflow says.",
    ),
]
Force = Annotated[bool, Field(description="Leave the grace out and kill at once.")]
Page = Annotated[int, Field(ge=1, le=10_000, description="Which page, from 1.")]
PageSize = Annotated[int, Field(ge=1, le=100, description="How many to a page, at most 100.")]


def _no_condition(value: Any) -> Any:
    if value == "stuck":
        raise ValueError(
            "stuck is no status but a condition of an open run: call list_recent_runs with stuck=true"
        )
    return value


AnyStatus = Annotated[Status | Literal["awaiting_decision"], BeforeValidator(_no_condition)]
StatusArgument = Annotated[
    AnyStatus,
    Field(
        description="A status. Being stuck is no status, but a condition. `awaiting_decision`: pending runs whose "
        "recovery has come to its end; decide_workflow says what becomes of them."
    ),
]
