"""One tool: a typed function, what clients are told about it, and how a call of it is carried out.

Every call is answered: a result is presented, an error of ours or of the caller becomes a tool error in a sentence,
and what nobody foresaw goes to the log on stderr and is said to have happened here. An argument that the tool does not
have is refused, not dropped: ``grace=0`` must not become a kill with the usual grace.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver.tools import Tool as Reflected
from mcp.types import CallToolResult, Tool, ToolAnnotations
from pydantic import ValidationError

from mcp_server.presentation import crashed, failed, presented, refused
from mcp_server.results import Result
from mcp_server.tools.call import Call
from runplane.contract.errors import RunplaneError

log = logging.getLogger("mcp_server.tools")

Function = Callable[..., Awaitable[Result]]

LOOKS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
STARTS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)
ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
HOLDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
CHANGES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True
)
REPLACES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)


class RunplaneTool:
    """A function ``(call, *, arguments) -> Result`` as an MCP tool; its name is the tool's name."""

    def __init__(self, function: Function, *, title: str, hints: ToolAnnotations) -> None:
        """Read names, types, defaults and descriptions off the function's signature."""
        self._function = function
        self._hints = hints
        reflected = Reflected.from_function(function, context_kwarg="call", structured_output=True)
        self._metadata = reflected.fn_metadata
        arguments = self._metadata.arg_model
        arguments.model_config["extra"] = "forbid"
        arguments.model_rebuild(force=True)
        self.listed = Tool(
            name=reflected.name,
            title=title,
            description=_one_paragraph_a_line(reflected.description),
            input_schema=_without_titles(arguments.model_json_schema()),
            output_schema=_without_titles(self._metadata.output_schema),
            annotations=hints,
        )

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.listed.name

    async def run(self, arguments: dict[str, Any], call: Call) -> CallToolResult:
        """Carry out one call, and close it."""
        try:
            checked = self._metadata.validate_arguments(arguments)
        except ValidationError as error:
            return refused(self.name, error)
        try:
            return presented(await self._function(call=call, **checked))
        except RunplaneError as error:
            log.info("%s: %s", self.name, error.message)
            return failed(error, may_have_ordered=not self._hints.read_only_hint)
        except Exception:
            log.exception("%s failed", self.name)
            return crashed(self.name)
        finally:
            await call.close()


def _one_paragraph_a_line(text: str) -> str:
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _without_titles(schema: Any) -> Any:
    """The schema without the titles that were made from names: they tell a reader nothing."""
    if isinstance(schema, dict):
        return {
            name: {key: _without_titles(value) for key, value in part.items()}
            if name in {"properties", "$defs"} and isinstance(part, dict)
            else _without_titles(part)
            for name, part in schema.items()
            if name != "title" or not isinstance(part, str)
        }
    return [_without_titles(part) for part in schema] if isinstance(schema, list) else schema
