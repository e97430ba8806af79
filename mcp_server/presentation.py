"""From a typed result, or an error, to what goes over the wire.

Every answer has a sentence for the model first, then the same as JSON for clients that know no structured content.
Strings from runs are made plain on the way out, whatever field they stand in.
"""

import json

from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from mcp_server.results import DiagnosisResult, Result, RunLogs
from mcp_server.untrusted import plain, plain_values, wrapped
from runplane.contract.errors import (
    Conflict,
    NotAllowed,
    NotAuthenticated,
    RunplaneError,
    SystemFault,
    Unavailable,
)


def presented(result: Result) -> CallToolResult:
    """A result as content: the sentence, and the data twice (structured, and as JSON text)."""
    data = plain_values(json.loads(result.model_dump_json(by_alias=True)))
    second = _json(data)
    if isinstance(result, RunLogs):
        second = _output(result)
    elif isinstance(result, DiagnosisResult):
        second = wrapped(second, result.run_id)
    return CallToolResult(
        content=[TextContent(type="text", text=plain(result.message)), TextContent(type="text", text=second)],
        structured_content=data,
    )


def failed(error: RunplaneError, *, may_have_ordered: bool) -> CallToolResult:
    """An error as the model should read it: what is so, and what to do next. Never a traceback.

    ``may_have_ordered``: the call gives an order, which may have arrived even where no answer came.
    """
    sentence = _sentence(error)
    if may_have_ordered and isinstance(error, SystemFault):
        sentence += (
            " An order may have been stored all the same: look with get_workflow_status before repeating it."
        )
    return _problem(sentence, error.error_code, error.fields)


def refused(tool: str, error: ValidationError) -> CallToolResult:
    """Arguments that do not fit the tool's schema. The values are not repeated: one of them may be a secret."""
    faults = "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'arguments'}: {_fault(fault['type'], fault['msg'])}"
        for fault in error.errors(include_url=False, include_input=False)
    )
    return _problem(
        f"{tool} was called with arguments it cannot use, so nothing was done. {faults}.", "invalid_input", {}
    )


def crashed(tool: str) -> CallToolResult:
    """A fault of this program. Its details are in the log, where a person looks, and not in the answer."""
    return _problem(
        f"{tool} failed inside the MCP server; the reason is in its log (stderr). Whether an order had been given is "
        "not known here: look at the run with get_workflow_status before repeating it.",
        "system_fault",
        {},
    )


def _sentence(error: RunplaneError) -> str:
    match error:
        case Unavailable():
            return f"The control plane cannot be reached: {_ended(error.message)} Tell the operator."
        case Conflict() if error.fields.get("new_run_id"):
            new_run_id = error.fields["new_run_id"]
            return f"{_ended(error.message)} The run that followed it is {new_run_id}: use that id instead."
        case NotAuthenticated():
            return (
                f"The control plane did not accept the token, so nothing was done ({error.message}). Ask the operator "
                "to give this MCP server a valid one: RUNPLANE_TOKEN, or over HTTP the Authorization header."
            )
        case NotAllowed():
            return f"Not allowed: {_ended(error.message)} Ask the operator for a token with the role that this needs."
        case _:
            return _ended(error.message)


def _ended(message: str) -> str:
    """The message as a whole sentence."""
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _problem(sentence: str, code: str, fields: dict[str, object]) -> CallToolResult:
    about = {"code": code} | {name: str(value) for name, value in fields.items() if value is not None}
    return CallToolResult(
        content=[TextContent(type="text", text=plain(sentence))],
        is_error=True,
        meta={"runplane/problem": plain_values(about)},
    )


def _fault(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such argument"
        case "missing":
            return "this argument is required"
        case _:
            said = message.removeprefix("Value error, ")
            return said[:1].lower() + said[1:]


def _output(logs: RunLogs) -> str:
    shown = [
        item.text
        if number and item.stream == logs.items[number - 1].stream
        else f"[{item.stream}] {item.text}"
        for number, item in enumerate(logs.items)
    ]
    return wrapped(plain("".join(shown)), logs.run_id)


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
