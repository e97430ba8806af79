"""Tools called as an MCP client calls them: through a session over stdio, in processes of their own.

The command line does not speak MCP itself: ``python -m mcp_server.call`` starts the server, holds the session with the
official client, and prints what the tool answered.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from runplane.cli.problem import Problem
from runplane.cli.program import python_module

WITHIN = 90.0
LAST_WORDS = 1000


class McpTools:
    """Calls tools with the given environment. ``server`` and ``protocol`` are those of the last session."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Nothing is started yet."""
        self._environment = dict(environment)
        self.server = ""
        self.protocol = ""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The tool's structured answer; a ``Problem`` where it reported an error or did not answer."""
        argv = [*python_module("mcp_server.call"), tool, json.dumps(arguments), "--timeout", f"{WITHIN:g}"]
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), WITHIN + 10)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            answer = json.loads(output)
        except ValueError:
            said = errors.decode(errors="replace").strip()[-LAST_WORDS:]
            raise Problem(f"the MCP session for {tool} failed: {said or 'without a word'}") from None
        self.server, self.protocol = str(answer["server"]), str(answer["protocol_version"])
        if answer["is_error"] or not isinstance(answer["result"], dict):
            raise Problem(f"the MCP tool {tool} reported an error: {answer['result']}")
        return dict(answer["result"])
