import json

from mcp.types import CallToolResult, TextContent

from mcp_server.presentation import failed, presented
from mcp_server.results import LogItem, RestartResult, RunLogs
from runplane.contract.errors import (
    Conflict,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RunplaneError,
    Unavailable,
)
from runplane.contract.run import Status

RUN_ID = "run_0dcbc991c0d4"
NEXT = "run_111111111111"


def texts(result: CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, TextContent)]


def said(error: RunplaneError, *, may_have_ordered: bool = False) -> str:
    result = failed(error, may_have_ordered=may_have_ordered)
    assert result.is_error
    [text] = texts(result)
    return text


def test_a_result_is_a_sentence_structured_data_and_the_same_as_text() -> None:
    result = presented(RestartResult(message="Done.", run_id=RUN_ID, new_run_id=NEXT, status=Status.RUNNING))
    sentence, document = texts(result)
    assert sentence == "Done."
    assert json.loads(document) == result.structured_content
    assert result.structured_content == {
        "message": "Done.",
        "run_id": RUN_ID,
        "new_run_id": NEXT,
        "status": "running",
    }
    assert not result.is_error


def test_output_is_given_as_text_between_marks_and_as_data_without_control_sequences() -> None:
    items = (
        LogItem(stream="stdout", attempt=1, offset=0, text="one\n"),
        LogItem(stream="stdout", attempt=1, offset=4, text="two\n"),
        LogItem(stream="stderr", attempt=1, offset=0, text="three\x1b[31m\n"),
    )
    logs = RunLogs(
        message="3 lines.", run_id=RUN_ID, status=Status.RUNNING, items=items, lines=3, truncated=False
    )
    result = presented(logs)
    _, shown = texts(result)
    assert "\n[stdout] one\ntwo\n[stderr] three\n</untrusted-output" in shown
    assert result.structured_content is not None
    assert result.structured_content["untrusted"] is True
    assert "\x1b" not in str(result.structured_content)


def test_each_error_says_what_to_do() -> None:
    conflict = Conflict(f"{RUN_ID} was already restarted", code="already_restarted", new_run_id=NEXT)
    assert said(conflict).endswith(f"The run that followed it is {NEXT}: use that id instead.")
    assert "RUNPLANE_TOKEN" in said(NotAuthenticated("no such token"))
    assert "Ask the operator" in said(NotAllowed("only an admin may"))
    assert said(NotFound("there is no run x")) == "there is no run x."


def test_an_order_that_may_have_arrived_is_not_called_undone() -> None:
    error = Unavailable("the control plane did not answer in time: try again")
    assert "before repeating it" in said(error, may_have_ordered=True)
    assert "before repeating it" not in said(error)


def test_the_code_of_an_error_is_there_for_programs() -> None:
    result = failed(NotFound("no", code="unknown_run", run_id=RUN_ID), may_have_ordered=True)
    assert result.meta == {"runplane/problem": {"code": "unknown_run", "run_id": RUN_ID}}
