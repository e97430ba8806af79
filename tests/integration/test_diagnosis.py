"""A run is looked at on its host: real programs, what they wait for, where in their own code, and nothing secret."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from runplane.contract.commands import DiagnoseRun, KillRun
from runplane.contract.diagnosis import Diagnosis, SeenProcess
from runplane.contract.events import CommandRejected, ConditionRaised, DiagnosisTaken
from tests.agent_process import AgentProcess, Bench

pytestmark = pytest.mark.anyio

ASKS_AN_API = """
import json, os, socket, subprocess, sys, threading
def report(**line):
    with open(os.environ["RUNPLANE_DIR"] + "/reports.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
def get_issues(server):
    connection = socket.create_connection(server.getsockname())
    connection.recv(1)  # nobody answers
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
report(step="plan", state="started")
report(step="plan", state="completed")
report(step="fetch", state="started")
child = subprocess.Popen(["sleep", "600"])
print("port", server.getsockname()[1], flush=True)
print("a warning", file=sys.stderr, flush=True)
get_issues(server)
"""
AT_WORK = """
def crunch():
    while True:
        sum(range(1000))
print("begun", flush=True)
crunch()
"""


@pytest.fixture
def agent(watching_agent: AgentProcess) -> AgentProcess:
    return watching_agent


@pytest.fixture
def bench(watching_bench: Bench) -> Bench:
    return watching_bench


async def start(bench: Bench, tmp_path: Path, program: str, *arguments: str, **spec: Any) -> str:
    file = tmp_path / "lina.py"
    file.write_text(program)
    spec = {"stuck": {"silent": None, "spinning": None, "looping": None, "step": None}, **spec}
    return await bench.start(sys.executable, "-u", str(file), *arguments, **spec)


async def end(bench: Bench, run_id: str) -> None:
    await bench.order(KillRun(run_id=run_id, force=True))
    await bench.ended(run_id)


def main(seen: Diagnosis) -> SeenProcess:
    assert seen.processes[0].main
    return seen.processes[0]


async def test_it_says_what_the_run_waits_for_and_where_in_its_own_code(bench: Bench, tmp_path: Path) -> None:
    run_id = await start(bench, tmp_path, ASKS_AN_API)
    await bench.told(run_id, "StepStarted", 2)
    record, seen = await bench.diagnosed(run_id)
    while main(seen).threads[0].waits_for != "reply" or "step “fetch”" not in seen.sentence:
        record, seen = await bench.diagnosed(run_id)
    port = next(line for line in seen.stdout if line.startswith("port ")).split()[1]
    line = ASKS_AN_API.splitlines().index("    connection.recv(1)  # nobody answers") + 1
    assert f" for a reply from 127.0.0.1:{port} (ESTABLISHED, nothing received since" in seen.sentence
    assert f"in `lina.get_issues`, lina.py:{line}" in seen.sentence
    assert (record.actor.principal, record.actor.surface) == ("operator", "cli")
    assert (seen.run_id, seen.status, seen.attempt, seen.host) == (run_id, "running", 1, bench.host)

    child = next(process for process in seen.processes if process.name == "sleep")
    assert (child.parent_pid, child.cmdline, child.state_name) == (main(seen).pid, "sleep 600", "sleeping")
    thread = main(seen).threads[0]
    assert (thread.waits_for, thread.peer) == ("reply", f"127.0.0.1:{port}")
    assert [(frame.function, frame.own) for frame in thread.stack] == [
        ("get_issues", True),
        ("<module>", True),
    ]
    socket = next(one for one in main(seen).sockets if one.peer == f"127.0.0.1:{port}")
    assert (socket.protocol, socket.state) == ("tcp", "ESTABLISHED")
    assert socket.received_at is not None
    assert [(step.name, step.state) for step in seen.steps] == [
        ("plan", "started"), ("plan", "completed"), ("fetch", "started"),
    ]  # fmt: skip
    assert seen.stderr == ("a warning",)
    assert seen.samples
    assert seen.unseen == ()
    await end(bench, run_id)


async def test_one_at_work_is_said_to_be_at_work(bench: Bench, tmp_path: Path) -> None:
    run_id = await start(bench, tmp_path, AT_WORK)
    await bench.running(run_id)
    _, seen = await bench.diagnosed(run_id)
    while "is at work" not in seen.sentence:
        _, seen = await bench.diagnosed(run_id)
    assert "of a core, in `lina.crunch`, lina.py:" in seen.sentence
    assert seen.condition is None
    await end(bench, run_id)


async def test_one_is_taken_when_a_run_becomes_stuck(bench: Bench, tmp_path: Path) -> None:
    run_id = await start(bench, tmp_path, "print('begun')\ninput()\n", stuck={"silent": 1.0})
    await bench.told(run_id, "DiagnosisTaken")
    story = [record for _, record in await bench.bus.story(run_id)]
    raised = next(record for record in story if isinstance(record.data, ConditionRaised))
    taken = next(record for record in story if isinstance(record.data, DiagnosisTaken))
    assert taken.causation_id == raised.id
    assert isinstance(taken.data, DiagnosisTaken)
    seen = taken.data.diagnosis
    assert seen.condition is not None
    assert seen.condition.verdict == "waiting_for_input"
    assert seen.sentence.startswith("w has been waiting ")
    assert "for input that nobody gives it (a read on standard input), in `lina`, lina.py:2." in seen.sentence
    await end(bench, run_id)
    assert (await bench.story(run_id)).count("DiagnosisTaken") == 1


async def test_it_tells_no_secret(bench: Bench, agent: AgentProcess, tmp_path: Path) -> None:
    known, unknown = "kn0wn-to-runplane", "sk-ant-nobody-declared-this-0123456789"
    secrets = agent.journal.parents[1] / "secrets"
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    (secrets / "KEY").write_text(known)
    secret_file = tmp_path / f"password={known}"
    program = (
        "import os, subprocess, sys\n"
        "key = os.environ['KEY']\n"
        f"file = open({str(tmp_path)!r} + '/password=' + key, 'w')\n"
        f"child = subprocess.Popen(['sh', '-c', 'sleep 600; true', key, '--token', '{unknown}', 'api_key={unknown}'])\n"
        f"print('using', key, 'and Authorization: Bearer {unknown}')\n"
        "child.wait()\n"
    )
    run_id = await start(bench, tmp_path, program, env={"KEY": "secret:KEY"})
    await bench.running(run_id)
    _, seen = await bench.diagnosed(run_id)
    while not seen.stdout or len(seen.processes) < 3:
        _, seen = await bench.diagnosed(run_id)
    told = seen.model_dump_json()
    assert secret_file.exists()
    assert known not in told
    assert unknown not in told
    assert seen.stdout == ("using ••• and Authorization: Bearer •••",)
    assert any("--token •••" in process.cmdline for process in seen.processes)
    assert any("password=•••" in file.target for file in main(seen).files)
    await end(bench, run_id)


async def test_a_stopped_tree_and_one_that_is_being_ended_can_be_looked_at(
    bench: Bench, tmp_path: Path
) -> None:
    program = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('begun')\ntime.sleep(600)\n"
    run_id = await start(bench, tmp_path, program)
    await bench.running(run_id)
    _, seen = await bench.diagnosed(run_id)
    while not seen.stdout:
        _, seen = await bench.diagnosed(run_id)
    os.kill(main(seen).pid, 19)
    _, seen = await bench.diagnosed(run_id)
    while main(seen).state != "T":
        _, seen = await bench.diagnosed(run_id)
    assert [frame.function for frame in main(seen).threads[0].stack] == ["<module>"]
    await bench.order(KillRun(run_id=run_id, grace_seconds=30))
    await bench.told(run_id, "RunTerminating")
    _, seen = await bench.diagnosed(run_id)
    assert seen.status == "terminating"
    await end(bench, run_id)


async def test_of_a_run_that_has_ended_it_is_refused(bench: Bench, tmp_path: Path) -> None:
    run_id = await start(bench, tmp_path, "print('done')\n")
    await bench.ended(run_id)
    await bench.order(DiagnoseRun(run_id=run_id))
    await bench.told(run_id, "CommandRejected")
    story = [record.data for _, record in await bench.bus.story(run_id)]
    refused = next(data for data in story if isinstance(data, CommandRejected))
    assert refused.code == "no_processes"


async def test_an_order_that_comes_while_the_run_is_being_claimed_does_not_lose_it(
    bench: Bench, tmp_path: Path
) -> None:
    run_ids = [await start(bench, tmp_path, "import time\ntime.sleep(600)\n") for _ in range(2)]
    for run_id in run_ids:
        await bench.order(DiagnoseRun(run_id=run_id))
    for run_id in run_ids:
        await bench.running(run_id)
        await end(bench, run_id)
        assert "RunLost" not in await bench.story(run_id)
