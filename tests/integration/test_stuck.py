"""Stuck runs are noticed by the agent alone: real programs, a real broker, an agent that is killed meanwhile."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from runplane.contract import subjects
from runplane.contract.commands import KillRun
from runplane.contract.events import ProcessExited
from runplane.contract.run import Condition, Run
from runplane.stamp import now
from tests.agent_process import AgentProcess, Bench
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

PATIENCE = {"silent": 1.0, "spinning": 1.0, "looping": 20, "step": 1.5}
GATE = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"


@pytest.fixture
def agent(watching_agent: AgentProcess) -> AgentProcess:
    return watching_agent


@pytest.fixture
def bench(watching_bench: Bench) -> Bench:
    return watching_bench


async def start(bench: Bench, program: str, *arguments: str, **spec: Any) -> str:
    spec = {"stuck": PATIENCE, **spec}
    return await bench.start(sys.executable, "-u", "-S", "-c", program, *arguments, **spec)


def stuck(run: Run) -> Condition | None:
    return next((condition for condition in run.conditions if condition.type == "stuck"), None)


async def verdict(bench: Bench, run_id: str) -> Condition:
    run = await bench.until(run_id, lambda run: stuck(run) is not None)
    condition = stuck(run)
    assert condition is not None
    return condition


async def end(bench: Bench, *run_ids: str) -> None:
    for run_id in run_ids:
        await bench.order(KillRun(run_id=run_id, force=True))
        await bench.ended(run_id)


async def test_the_verdict_says_what_it_waits_for_and_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = f"print('begun')\n{GATE}print('on it goes')\nwhile True: print(time.time()); time.sleep(0.1)"
    run_id = await start(bench, program, str(gate))
    condition = await verdict(bench, run_id)
    assert condition.verdict == "idle"
    assert "nothing was printed or reported since" in condition.detail
    evidence = condition.evidence
    assert isinstance(evidence, dict)
    assert evidence["last_line"] == "begun"
    assert evidence["threads"]
    gate.touch()
    run = await bench.until(run_id, lambda run: stuck(run) is None)
    assert run.status == "running"
    story = await bench.story(run_id)
    assert (story.count("ConditionRaised"), story.count("ConditionCleared")) == (1, 1)
    await end(bench, run_id)


async def test_an_api_that_never_answers_is_named(bench: Bench) -> None:
    program = (
        "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "print(s.getsockname()[1])\nc = socket.create_connection(s.getsockname()); c.recv(1)"
    )
    run_id = await start(bench, program)
    condition = await verdict(bench, run_id)
    port = (await bench_output(bench, run_id)).decode().strip()
    assert condition.verdict == "awaiting_api"
    assert f"a reply from 127.0.0.1:{port} (ESTABLISHED, nothing received since" in condition.detail
    await end(bench, run_id)


async def bench_output(bench: Bench, run_id: str) -> bytes:
    """What was printed so far; the run goes on."""
    chunks = await bench.bus.read_once(subjects.OUTPUT_STREAM, subjects.run_output(run_id, None, "stdout"))
    return b"".join(chunk.payload for chunk in chunks)


async def test_it_is_noticed_while_the_broker_is_away_and_told_when_it_is_back(
    bench: Bench, nats_server: BrokerProcess
) -> None:
    run_id = await start(bench, "print('begun')\nwhile True: pass")
    await bench.running(run_id)
    nats_server.kill()
    await asyncio.sleep(3)  # longer than it takes to come to a verdict
    back = now()
    nats_server.start()
    condition = await verdict(bench, run_id)
    assert condition.verdict == "spinning"
    assert condition.since < back
    await end(bench, run_id)


async def test_the_next_agent_knows_since_when(bench: Bench, agent: AgentProcess) -> None:
    run_id = await start(bench, "print('begun')\ninput()")
    first = await verdict(bench, run_id)
    agent.kill()
    agent.start()
    _, seen = await bench.diagnosed(run_id)
    assert seen.quiet_seconds is not None
    assert seen.quiet_seconds >= (seen.taken_at - first.since).total_seconds() - 1
    assert seen.condition == first
    os.kill(await main_pid(bench, run_id), signal.SIGSTOP)
    run = await bench.until(run_id, lambda run: (c := stuck(run)) is not None and c.verdict == "stopped")
    assert first.verdict == "waiting_for_input"
    story = await bench.story(run_id)
    assert (story.count("ConditionRaised"), story.count("ConditionCleared")) == (2, 0)
    assert stuck(run) is not None
    await end(bench, run_id)


async def main_pid(bench: Bench, run_id: str) -> int:
    main = (await bench.running(run_id)).attempts[-1].main
    assert main is not None
    return main.pid


async def test_a_declared_wait_is_left_alone_and_one_that_is_overrun_is_not(bench: Bench) -> None:
    program = (
        "import json, os, time\n"
        "def report(**line):\n"
        "    with open(os.environ['RUNPLANE_DIR'] + '/reports.jsonl', 'a') as file:\n"
        "        file.write(json.dumps(line) + '\\n')\n"
        "report(step='wait', state='started', expected_seconds=3)\n"
        "time.sleep(3)\n"
        "report(step='wait', state='completed')\n"
    )
    patient = await start(bench, program)
    overrun = await start(
        bench,
        program + "report(step='plan', state='started')\nwhile True: print(time.time()); time.sleep(0.1)",
    )
    condition = await verdict(bench, overrun)
    assert condition.verdict == "step_overrun"
    assert "“plan”" in condition.detail
    await bench.ended(patient)
    assert "ConditionRaised" not in await bench.story(patient)
    await end(bench, overrun)


async def test_what_a_workflow_does_not_want_is_not_looked_for(bench: Bench) -> None:
    off = dict.fromkeys(PATIENCE)
    quiet = await start(bench, "print('begun')\ninput()", stuck=off)
    watched = await start(bench, "print('begun')\ninput()")
    await verdict(bench, watched)
    assert "ConditionRaised" not in await bench.story(quiet)
    await end(bench, quiet, watched)


async def test_no_secret_is_told(bench: Bench, agent: AgentProcess) -> None:
    secrets = agent.home / "agent" / "secrets"
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    (secrets / "KEY").write_text("hunter2")
    program = "import os\nprint('my key is', os.environ['KEY'])\ninput()"
    run_id = await start(bench, program, env={"KEY": "secret:KEY"})
    condition = await verdict(bench, run_id)
    assert "hunter2" not in condition.model_dump_json()
    assert "my key is •••" in condition.model_dump_json()
    await end(bench, run_id)


async def test_a_file_whose_name_is_no_text_is_told_all_the_same(bench: Bench, tmp_path: Path) -> None:
    program = (
        "import fcntl, os, sys\n"
        "name = os.fsencode(sys.argv[1]) + b'/\\xff\\xfe'\n"
        "held = open(name, 'w'); fcntl.flock(held, 2)\n"
        "print('begun')\nfcntl.flock(open(name, 'w'), 2)"
    )
    run_id = await start(bench, program, str(tmp_path))
    condition = await verdict(bench, run_id)
    assert condition.verdict == "waiting_on_io"
    assert "\\udcff" in condition.detail
    await end(bench, run_id)


async def test_what_earlier_runs_teach_is_the_threshold_and_stands_in_the_evidence(bench: Bench) -> None:
    program = (
        "import json, os, time\n"
        "with open(os.environ['RUNPLANE_DIR'] + '/reports.jsonl', 'a') as file:\n"
        "    file.write(json.dumps({'step': 'plan', 'state': 'started'}) + '\\n')\n"
        "while True: print(time.time()); time.sleep(0.1)\n"
    )
    usual = {"times": 14, "usual": 0.1, "longest": 0.3, "limit": 1.0}
    run_id = await start(bench, program, stuck={}, learned={"steps": {"plan": usual}})
    condition = await verdict(bench, run_id)
    assert condition.verdict == "step_overrun"
    assert "far past its own history: usually 0 s, at most 0 s, 14 times seen" in condition.detail
    assert isinstance(condition.evidence, dict)
    assert condition.evidence["learned"] == {"quiet": None, "steps": {"plan": usual}}
    await end(bench, run_id)


async def test_how_long_a_run_was_quiet_is_told_with_its_end(bench: Bench) -> None:
    program = "import time\nprint('a')\ntime.sleep(1.5)\nprint('b')\ntime.sleep(0.5)\n"
    run_id = await start(bench, program, stuck={})
    await bench.ended(run_id)
    exited = next(
        record.data for _, record in await bench.bus.story(run_id) if isinstance(record.data, ProcessExited)
    )
    assert exited.longest_quiet_seconds is not None
    assert 1.0 <= exited.longest_quiet_seconds <= 10
