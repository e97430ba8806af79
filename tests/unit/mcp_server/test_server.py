"""What every client sees before any control plane is asked: names, annotations, refusals, every protocol revision."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.session import ClientSession
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CallToolResult,
    ClientCapabilities,
    Implementation,
    InitializeRequest,
    InitializeRequestParams,
    InitializeResult,
    TextContent,
)
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS

from mcp_server.server import build_server
from tests.running_system import REPOSITORY

pytestmark = pytest.mark.anyio

LOOKS = "looks"
ENDS = "ends"
TOOLS = {
    "kill_workflow": (ENDS, {"run_id", "reason", "force", "grace_seconds"}),
    "restart_workflow": ("replaces", {"run_id", "reason", "resume", "params"}),
    "force_complete_workflow": (ENDS, {"run_id", "outcome", "reason", "detach"}),
    "decide_workflow": ("starts", {"run_id", "decision", "reason"}),
    "pause_workflow": ("holds", {"run_id", "reason"}),
    "continue_workflow": ("holds", {"run_id", "reason"}),
    "set_breakpoint": ("holds", {"run_id", "location", "condition", "clear"}),
    "step_workflow": ("starts", {"run_id", "mode", "timeout_seconds"}),
    "inspect_variables": (LOOKS, {"run_id", "scope", "name"}),
    "set_variable": ("changes", {"run_id", "name", "value", "scope"}),
    "evaluate_expression": ("changes", {"run_id", "expression", "frame"}),
    "run_workflow": (
        "starts",
        {
            "workflow_name",
            "params",
            "message",
            "max_turns",
            "persistent",
            "session_name",
            "git_branch",
            "repository_url",
            "breakpoints",
            "debug",
        },
    ),
    "list_workflows": (LOOKS, set()),
    "list_recent_runs": (
        LOOKS,
        {"workflow_name", "status", "page", "page_size", "host", "stuck", "sort_by", "sort_order"},
    ),
    "list_runs_by_status": (LOOKS, {"status", "page", "page_size"}),
    "list_runs_by_workflow": (LOOKS, {"workflow_name", "page", "page_size"}),
    "get_workflow_status": (LOOKS, {"run_id", "detailed"}),
    "get_health_status": (LOOKS, set()),
    "diagnose_workflow": (LOOKS, {"run_id"}),
    "wait_for_workflow": (LOOKS, {"run_id", "timeout_seconds"}),
    "get_workflow_logs": (LOOKS, {"run_id", "tail", "stream", "attempt", "max_bytes"}),
    "get_workflow_events": (LOOKS, {"run_id", "type", "since_seq", "limit"}),
    "replay_workflow": (LOOKS, {"run_id", "at"}),
    "kill_workflows": (ENDS, {"selector", "dry_run", "reason", "force", "grace_seconds"}),
    "list_hosts": (LOOKS, set()),
}
REQUIRED = {
    "decide_workflow": ["run_id", "decision"],
    "evaluate_expression": ["run_id", "expression"],
    "set_breakpoint": ["run_id", "location"],
    "set_variable": ["run_id", "name", "value"],
    "run_workflow": ["workflow_name"],
    "list_runs_by_status": ["status"],
    "list_runs_by_workflow": ["workflow_name"],
    "replay_workflow": ["run_id", "at"],
    "kill_workflows": ["selector"],
    **{name: [] for name in ("list_workflows", "list_recent_runs", "get_health_status", "list_hosts")},
}
HINTS = {  # read only, destructive, idempotent, open world
    LOOKS: (True, False, True, False),
    "starts": (False, False, False, True),
    ENDS: (False, True, True, False),
    "holds": (False, False, True, False),
    "changes": (False, True, True, True),
    "replaces": (False, True, False, True),
}


def command(home: Path, **env: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server.main"],
        env={"RUNPLANE_HOME": str(home), "PYTHONPATH": str(REPOSITORY), **env},
    )


@pytest.fixture
async def client(home: Path) -> AsyncIterator[Client]:
    """Connected within this process; ``home`` has made the environment empty."""
    assert home.exists()
    async with Client(build_server(keeps_connection=True)) as connected:
        yield connected


def sentence(result: CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


async def test_the_tools_their_arguments_and_annotations(client: Client) -> None:
    tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == list(TOOLS)
    for tool in tools:
        kind, arguments = TOOLS[tool.name]
        hints = tool.annotations
        assert hints is not None
        assert (
            hints.read_only_hint,
            hints.destructive_hint,
            hints.idempotent_hint,
            hints.open_world_hint,
        ) == HINTS[kind], tool.name
        assert tool.title
        assert tool.description
        assert set(tool.input_schema.get("properties", {})) == arguments, tool.name
        assert tool.input_schema["additionalProperties"] is False
        assert tool.input_schema.get("required", []) == REQUIRED.get(tool.name, ["run_id"])
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert "message" in tool.output_schema["properties"]


async def test_the_results_of_the_verbs_have_the_promised_fields(client: Client) -> None:
    fields = {
        tool.name: set(cast("dict[str, Any]", tool.output_schema)["properties"])
        for tool in (await client.list_tools()).tools
    }
    assert fields["kill_workflow"] == {
        "run_id", "status", "confirmed", "killed_at", "kill_receipt", "message",
    }  # fmt: skip
    assert fields["restart_workflow"] == {"run_id", "new_run_id", "status", "message"}
    assert fields["force_complete_workflow"] == {"run_id", "status", "override", "message"}
    assert fields["list_recent_runs"] == {"runs", "page", "page_size", "total", "has_more", "message"}
    assert fields["run_workflow"] >= {"run_id", "status"}
    assert fields["get_workflow_status"] >= {"run_id", "status", "progress", "kill_receipt", "seq"}


async def test_resources_and_prompts(client: Client) -> None:
    templates = (await client.list_resource_templates()).resource_templates
    assert {t.uri_template for t in templates} == {
        "run://{run_id}",
        "run://{run_id}/logs",
        "host://{host_id}",
    }
    assert (await client.list_resources()).resources == []
    assert {prompt.name for prompt in (await client.list_prompts()).prompts} == {"unstick", "postmortem"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("kill_workflow", {}, "run_id: this argument is required"),
        ("kill_workflow", {"run_id": "run_0dcbc991c0d4", "grace": 0}, "grace: there is no such argument"),
        ("kill_workflow", {"run_id": "lina"}, "list_recent_runs"),
        ("kill_workflow", {"run_id": "../../livez"}, "list_recent_runs"),
        ("kill_workflow", {"run_id": "run_0dcbc991c0d4", "grace_seconds": -1}, "grace_seconds"),
        ("list_runs_by_status", {"status": "stuck"}, "stuck=true"),
        ("list_recent_runs", {"page_size": 101}, "page_size"),
        ("list_recent_runs", {"page": 0}, "page"),
        ("list_recent_runs", {"page": 200, "page_size": 100}, "narrow the list"),
        ("kill_workflows", {"selector": {}}, "an empty selector kills nothing"),
        ("kill_workflows", {"selector": {"worklfow": "lina"}}, "worklfow"),
        ("get_workflow_logs", {"run_id": "run_0dcbc991c0d4", "tail": 100_000}, "tail"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_a_sentence(
    client: Client, tool: str, arguments: dict[str, Any], said: str
) -> None:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert said in sentence(result)
    assert "Traceback" not in sentence(result)


async def test_a_refusal_does_not_repeat_the_values(client: Client) -> None:
    result = await client.call_tool("run_workflow", {"workflow_name": "x", "params": "s3cret-value"})
    assert result.is_error
    assert "s3cret-value" not in str(result)


async def test_an_unknown_tool_is_a_protocol_error_that_names_the_tools(client: Client) -> None:
    with pytest.raises(MCPError, match="kill_workflow"):
        await client.call_tool("destroy_everything", {})


@pytest.mark.parametrize("tool", sorted(set(TOOLS) - {"get_health_status"}))
async def test_without_a_control_plane_every_tool_says_what_to_do(client: Client, tool: str) -> None:
    given: dict[str, Any] = {
        "run_id": "run_0dcbc991c0d4",
        "workflow_name": "lina",
        "status": "running",
        "at": 1,
        "selector": {"workflow": "lina"},
        "location": "step:plan",
        "expression": "1 + 1",
        "decision": "retry",
        "name": "limit",
        "value": 1,
    }
    required = {
        listed.name: listed.input_schema.get("required", []) for listed in (await client.list_tools()).tools
    }[tool]
    with anyio.fail_after(15):
        result = await client.call_tool(tool, {name: given[name] for name in required})
    assert result.is_error
    assert "runplane up" in sentence(result)
    assert ("get_workflow_status" in sentence(result)) == (TOOLS[tool][0] != LOOKS)


async def test_a_dead_control_plane_is_health_unreachable_within_bounds(home: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    async with Client(command(home, RUNPLANE_URL=url, RUNPLANE_TOKEN="t")) as client:
        with anyio.fail_after(15):
            result = await client.call_tool("get_health_status", {})
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["status"] == "unreachable"
    assert "runplane up" in sentence(result)


@asynccontextmanager
async def handshaken(home: Path, revision: str) -> AsyncIterator[tuple[ClientSession, InitializeResult]]:
    async with stdio_client(command(home)) as (read, write), ClientSession(read, write) as session:
        asked = InitializeRequest(
            params=InitializeRequestParams(
                protocol_version=revision,
                capabilities=ClientCapabilities(),
                client_info=Implementation(name="test", version="1"),
            )
        )
        result = await session.send_request(asked, InitializeResult)
        session.adopt(result)
        yield session, result


@pytest.mark.parametrize("revision", HANDSHAKE_PROTOCOL_VERSIONS)
async def test_every_handshake_revision_is_negotiated_as_asked(home: Path, revision: str) -> None:
    async with handshaken(home, revision) as (session, result):
        assert result.protocol_version == revision
        assert result.server_info.name == "automagik-workflows"
        assert result.instructions is not None
        assert result.capabilities.resources is not None
        assert result.capabilities.resources.subscribe is True
        assert {tool.name for tool in (await session.list_tools()).tools} == set(TOOLS)
        health = await session.call_tool("get_health_status", {})
        assert isinstance(health, CallToolResult)
        assert health.structured_content is not None
        assert health.structured_content["status"] == "unreachable"


async def test_the_newest_revision_needs_no_handshake(home: Path) -> None:
    async with Client(command(home), mode=KNOWN_PROTOCOL_VERSIONS[-1]) as client:
        assert client.session.protocol_version == KNOWN_PROTOCOL_VERSIONS[-1] == "2026-07-28"
        assert len((await client.list_tools()).tools) == len(TOOLS)
        result = await client.call_tool("get_health_status", {})
        assert result.structured_content is not None
