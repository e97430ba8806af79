"""``python -m mcp_server.call TOOL [JSON]``: call one tool of the MCP server over stdio, as any MCP client would.

Starts ``python -m mcp_server.main``, opens a session with the official client, calls the tool once, and prints one JSON
document: ``{"server", "protocol_version", "tool", "is_error", "result"}``. Exit codes: 0 answered, 1 the tool reported
an error, 2 usage, 3 no session or no answer in time. The server gets the ``RUNPLANE_*`` variables of this process.
"""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from mcp import Client, MCPError, StdioServerParameters, types

SERVER = ("-P", "-m", "mcp_server.main")
TIMEOUT = 120.0
TOOL_ERROR = 1
NO_ANSWER = 3


async def call_tool(tool: str, arguments: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """Call one tool in a session of its own; the document that is printed."""
    server = StdioServerParameters(command=sys.executable, args=list(SERVER), env=_environment())
    async with asyncio.timeout(timeout), Client(server, read_timeout_seconds=timeout) as client:
        answer = await client.call_tool(tool, arguments)
        return {
            "server": client.server_info.name if client.server_info is not None else None,
            "protocol_version": client.protocol_version,
            "tool": tool,
            "is_error": bool(answer.is_error),
            "result": _result(answer),
        }


def main() -> int:
    """Read the arguments, call, print."""
    parser = argparse.ArgumentParser(
        prog="python -m mcp_server.call", description="Call one MCP tool over stdio."
    )
    parser.add_argument("tool", help="such as kill_workflow")
    parser.add_argument(
        "arguments", nargs="?", default="{}", help='JSON, such as \'{"run_id": "run_0dcbc991c0d4"}\''
    )
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds for everything (default %(default)g)"
    )
    options = parser.parse_args()
    try:
        arguments = json.loads(options.arguments)
    except ValueError as error:
        parser.error(f"arguments: not JSON: {error}")
    if not isinstance(arguments, dict):
        parser.error("arguments: not a JSON object")
    try:
        document = asyncio.run(call_tool(options.tool, arguments, timeout=options.timeout))
    except TimeoutError:
        return _failed(f"no answer to {options.tool} within {options.timeout:g} s")
    except (MCPError, OSError, ExceptionGroup) as error:
        return _failed(f"{options.tool} could not be called: {_cause(error)}")
    print(json.dumps(document))  # noqa: T201 - this program's answer
    return TOOL_ERROR if document["is_error"] else 0


def _result(answer: types.CallToolResult) -> Any:
    """The structured answer; the text where there is none, as in errors."""
    if answer.structured_content is not None:
        return answer.structured_content
    return "\n".join(block.text for block in answer.content if isinstance(block, types.TextContent))


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("RUNPLANE_") or name == "PYTHONPATH"
    }


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _failed(why: str) -> int:
    print(why, file=sys.stderr)  # noqa: T201 - the same
    return NO_ANSWER


if __name__ == "__main__":
    sys.exit(main())
