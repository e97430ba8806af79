"""A run is held, looked into, changed, stepped and let go, by an MCP client and at a terminal, on the whole system."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from tests.running_system import PROGRAM, REPOSITORY, RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

LIMIT = 60.0
LINA = REPOSITORY / "examples" / "lina" / "workflow.yaml"


def command(system: RunningSystem) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server.main"],
        env={"RUNPLANE_HOME": str(system.home.path), "PYTHONPATH": str(REPOSITORY)},
    )


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a call that has to succeed."""
    with anyio.fail_after(LIMIT):
        result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    first = result.content[0]
    assert isinstance(first, TextContent)
    assert not result.is_error, first.text
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    with anyio.fail_after(LIMIT):
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


async def held(client: Client, run_id: str, at: str) -> None:
    with anyio.fail_after(LIMIT):
        while True:
            run = await call(client, "get_workflow_status", run_id=run_id)
            if run["status"] == "paused":
                assert run["held"]["at"] == at
                return
            await anyio.sleep(0.05)


def values(answer: dict[str, Any], scope: str) -> dict[str, Any]:
    return {
        one["name"]: one["value"]
        for each in answer["scopes"]
        if each["name"] == scope
        for one in each["variables"]
    }


def place_of(system: RunningSystem, run_id: str) -> str | None:
    try:
        answer = httpx.get(f"{system.url}/api/v1/runs/{run_id}", headers=system.headers)
    except httpx.TransportError:  # the control plane was killed
        return None
    at: str | None = (answer.json()["held"] or {}).get("at")
    return at


async def test_lina_is_stepped_through_and_changed_by_an_mcp_client(system: RunningSystem) -> None:
    assert system.run("workflows", "apply", str(LINA)).returncode == 0
    async with Client(command(system)) as client:
        started = await call(
            client, "run_workflow", workflow_name="lina", params={"pace": 1}, breakpoints=["step:summarize"]
        )
        run_id = started["run_id"]
        await held(client, run_id, "step:summarize")
        seen = await call(client, "inspect_variables", run_id=run_id)
        assert values(seen, "inputs")["text_limit"] == 60
        assert len(values(seen, "inputs")["analysed"]) > 3
        assert seen["held"]["reason"] == "breakpoint step:summarize"

        assert "'nothing'" in await refusal(client, "set_variable", run_id=run_id, name="nothing", value=1)
        changed = await call(
            client, "set_variable", run_id=run_id, name="text_limit", value=20, scope="inputs"
        )
        assert values(changed, "inputs")["text_limit"] == 20
        stepped = await call(client, "step_workflow", run_id=run_id)
        assert stepped["held"]["at"] == "step:write_report"
        assert stepped["held"]["reason"] == "the next boundary"
        stepped = await call(client, "step_workflow", run_id=run_id)
        assert stepped["status"] == "completed"
        assert "only a held run can be stepped" in await refusal(client, "step_workflow", run_id=run_id)

        report = system.home.path / "agent" / "runs" / run_id / "1" / "lina-report.md"
        titles = [line for line in report.read_text().splitlines() if line.endswith("points)")]
        assert titles
        assert all(len(line.removeprefix("- ")[8:].partition(" (")[0]) <= 20 for line in titles)

        events = await call(client, "get_workflow_events", run_id=run_id, limit=200)
        told = [(one["type"], one["actor"], one["via"]) for one in events["events"]]
        for type_ in ("RunPaused", "VariablesSet", "RunContinued", "StepRun", "SetVariables"):
            assert (type_, "operator", "mcp") in told, type_


async def test_it_is_done_at_a_terminal_and_outlives_agent_and_control_plane(system: RunningSystem) -> None:
    assert system.run("workflows", "apply", str(LINA)).returncode == 0
    run_id = system.run("run", "lina", "-p", "pace=1", "--break", "step:*").stdout.strip()

    def place() -> str | None:
        return place_of(system, run_id)

    system.until(lambda: place() == "step:load", "held before its first step")
    system.kill_part("agent")
    system.kill_part("control_plane")
    system.wait_ready()
    assert place() == "step:load"
    stepped = system.run("step", run_id)
    assert stepped.returncode == 0, stepped.stderr
    assert "held at step:analyse" in stepped.stdout

    shown = system.run("vars", run_id)
    assert "epic.json" in shown.stdout
    only = "text_limit == 60 and epic == 'epic.json'"
    set_one = system.run("break", run_id, "step:summarize", "--if", only)
    assert f"held at step:summarize if {only}" in set_one.stdout
    assert system.run("break", run_id, "--clear", "step:*").returncode == 0
    assert system.run("break", run_id, "--clear", "step:nothing").returncode == 3
    assert system.run("continue", run_id).returncode == 0
    system.until(lambda: place() == "step:summarize", "held where the condition is true")
    assert system.run("vars", run_id, "inputs", "--set", "text_limit=30").returncode == 0
    assert '"value": 30' in system.run("vars", run_id, "inputs.text_limit", "--json").stdout
    assert system.run("vars", run_id, "--set", "text_limit=x").returncode == 2
    assert system.run("vars", run_id, "--set", "nothing=1").returncode == 4

    killed = system.run("kill", run_id)
    assert killed.returncode == 0, killed.stderr
    assert system.run("step", run_id).returncode == 4
    assert system.run("vars", run_id).returncode == 0


PLAIN = """\
import subprocess
import sys

def square(number):
    result = number * number
    return result

def main():
    limit = int(sys.argv[1])
    child = subprocess.Popen(["sleep", "1000"])
    found = []
    for count in range(limit):
        found.append(square(count))
    print("found", found, limit, flush=True)
    child.kill()

main()
"""


class Editor:
    """Speaks the Debug Adapter Protocol as an editor does."""

    def __init__(self, port: int) -> None:
        self._file = socket.create_connection(("127.0.0.1", port), timeout=20).makefile("rwb")
        self._seq = 0
        self.events: list[dict[str, Any]] = []

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self._seq += 1
        message = {"seq": self._seq, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message, indent=1).encode()
        self._file.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._file.flush()
        while True:
            answer = self._read()
            if answer["type"] == "response" and answer["request_seq"] == self._seq:
                assert answer["success"], answer
                return dict(answer.get("body") or {})

    def until(self, event: str) -> dict[str, Any]:
        while not any(one["event"] == event for one in self.events):
            self._read()
        return next(one for one in self.events if one["event"] == event)

    def _read(self) -> dict[str, Any]:
        length = int(self._file.readline().partition(b":")[2])
        self._file.readline()
        message: dict[str, Any] = json.loads(self._file.read(length))
        if message["type"] == "event":
            self.events.append(message)
        return message


def _is_debugged_by_an_editor(system: RunningSystem, run_id: str) -> None:
    """By what `runplane debug --attach` prints; afterwards it is held where it was."""
    with subprocess.Popen(
        [*PROGRAM, "debug", run_id, "--attach", "--json"], env=system.env, stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            configuration = json.loads(served.stdout.readline())
            assert (configuration["type"], configuration["request"]) == ("debugpy", "attach")
            editor = Editor(configuration["connect"]["port"])
            assert editor.ask("initialize", adapterID="python", pathFormat="path")[
                "supportsConditionalBreakpoints"
            ]
            editor.ask("attach", **configuration)
            editor.until("initialized")
            editor.ask("configurationDone")
            thread = editor.until("stopped")["body"]["threadId"]
            frames = editor.ask("stackTrace", threadId=thread)["stackFrames"]
            assert (frames[0]["name"], frames[0]["line"]) == ("square", 5)
            editor.events.clear()
            editor.ask("next", threadId=thread)
            editor.until("stopped")

            def is_there() -> bool:
                return place_of(system, run_id) == "plain.py:6"

            system.until(is_there, "its story says what the editor did")
            editor.ask("disconnect")
            assert is_there()
        finally:
            served.send_signal(signal.SIGINT)
    assert served.returncode == 130


async def test_a_program_that_knows_nothing_of_us_is_held_at_its_lines(
    system: RunningSystem, tmp_path: Path
) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "workflow.yaml").write_text(
        "name: plain\ncommand: [python, plain.py, '{count}']\nworkspace: .\n"
        "params: {type: object, properties: {count: {type: integer, default: 6}}}\n"
    )
    assert system.run("workflows", "apply", str(tmp_path / "workflow.yaml")).returncode == 0
    async with Client(command(system)) as client:
        started = await call(
            client, "run_workflow", workflow_name="plain", debug=True, breakpoints=["plain.py:17"]
        )
        run_id = started["run_id"]
        await held(client, run_id, "plain.py:17")
        set_one = await call(
            client, "set_breakpoint", run_id=run_id, location="plain.py:13", condition="count > 3"
        )
        assert "plain.py:13" in set_one["message"]
        assert "no code" in await refusal(client, "set_breakpoint", run_id=run_id, location="plain.py:3")
        assert "no file" in await refusal(client, "set_breakpoint", run_id=run_id, location="other.py:3")
        assert "no expression" in await refusal(
            client, "set_breakpoint", run_id=run_id, location="plain.py:13", condition="count >"
        )
        await call(client, "continue_workflow", run_id=run_id)
        await held(client, run_id, "plain.py:13")
        seen = await call(client, "inspect_variables", run_id=run_id)
        assert values(seen, "locals")["count"] == 4
        assert values(seen, "locals")["found"] == [0, 1, 4, 9]
        assert [frame["function"] for frame in seen["stack"]] == ["main", "<module>"]
        stepped = await call(client, "step_workflow", run_id=run_id, mode="into")
        assert stepped["held"]["at"] == "plain.py:5"
        found = await call(client, "evaluate_expression", run_id=run_id, expression="number + 1")
        assert found["result"]["value"] == 5
        events = await call(client, "get_workflow_events", run_id=run_id, limit=200)
        told = [(one["type"], one["actor"], one["via"]) for one in events["events"]]
        assert ("ExpressionEvaluated", "operator", "mcp") in told

    _is_debugged_by_an_editor(system, run_id)
    text = system.run("vars", run_id)
    assert "▶    6      return result" in text.stdout
    assert system.run("vars", run_id, "--eval", "number * 100").stdout.startswith("400 ")
    assert "ZeroDivisionError" in system.run("vars", run_id, "--eval", "1 / 0").stdout
    stepped_out = system.run("step", run_id, "--out")
    assert "held at plain.py:13" in stepped_out.stdout, stepped_out.stdout + stepped_out.stderr
    run = json.loads(system.run("status", run_id, "--json").stdout)
    killed = json.loads(system.run("kill", run_id, "--json").stdout)
    assert killed["run"]["status"] == "killed"
    receipt = killed["run"]["kill_receipt"]
    assert receipt["verified"]
    assert len(receipt["processes"]) == 2  # the program and its child: the debugger has no process of its own
    assert not Path(f"/proc/{run['attempts'][-1]['main']['pid']}").exists()
