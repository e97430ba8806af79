"""The agent against a real broker, with real processes: what was ordered happens once, whatever dies when."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from runplane.bus import Bus
from runplane.contract import subjects
from runplane.contract.commands import ForceCompleteRun, KillRun, RestartRun, StartRun
from runplane.contract.events import StepCompleted
from runplane.contract.spec import RunSpec
from runplane.stamp import new_record_id, new_run_id
from tests.agent_process import AgentProcess, Bench, alive
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio
FOREVER = ("sleep", "600")


@pytest.fixture
def agent(nats_server: BrokerProcess, tmp_path: Path) -> Iterator[AgentProcess]:
    running = AgentProcess(tmp_path / "agent-home", nats_server.url)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        _end_leftovers(tmp_path)


@pytest.fixture
async def bench(nats_server: BrokerProcess, agent: AgentProcess) -> AsyncIterator[Bench]:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    yield Bench(bus, agent.host)
    await bus.close()


def _end_leftovers(place: Path) -> None:
    """End the trees that a failed test left, by the tag in their environment: they name this test's directory."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                tagged = os.fsencode(place) in (entry / "environ").read_bytes()
            except OSError:
                continue
            if tagged and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


async def test_an_exit_code_arrives_with_the_whole_story(bench: Bench) -> None:
    run = await bench.ended(run_id := await bench.start("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert run.status == "failed"
    assert run.exit is not None
    assert run.exit.code == 3
    assert run.failure is not None
    assert run.failure.kind == "exit_code"
    assert await bench.story(run_id) == [
        "StartRun", "RunClaimed", "ProcessSpawned", "ProcessExited", "TreeVerifiedGone", "RunFailed",
    ]  # fmt: skip
    assert await bench.output(run_id) == b"out\n"
    assert await bench.output(run_id, "stderr") == b"err\n"


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (("no-such-program",), "command_not_found"),
        (("/etc/passwd",), "not_executable"),
        (("echo", "a\0b"), "bad_argument"),
        (("echo", "x" * 2_000_000), "argument_too_long"),
    ],
)
async def test_what_cannot_be_started_fails_with_the_field_and_what_to_do(
    bench: Bench, argv: tuple[str, ...], kind: str
) -> None:
    run = await bench.ended(await bench.start(*argv))
    assert run.status == "failed"
    assert run.failure is not None
    assert run.failure.kind == kind
    assert "argv[" in run.failure.message


async def test_a_missing_working_directory_is_named(bench: Bench) -> None:
    run = await bench.ended(await bench.start("true", workspace="/no/such/place"))
    assert run.failure is not None
    assert run.failure.kind == "bad_working_directory"
    assert "/no/such/place" in run.failure.message


async def test_a_killed_run_is_gone_and_the_receipt_says_how(bench: Bench) -> None:
    run_id = await bench.start("sh", "-c", "trap '' TERM; (setsid sleep 600 &); sleep 600 & wait; sleep 600")
    await bench.running(run_id)
    command_id = await bench.order(KillRun(run_id=run_id, reason="hangs", grace_seconds=0.2))
    run = await bench.ended(run_id)
    assert run.status == "killed"
    receipt = run.kill_receipt
    assert receipt is not None
    assert (receipt.verified, receipt.survivors, receipt.command_id) == (True, (), command_id)
    assert (receipt.requested_by, receipt.via, receipt.reason) == ("operator", "cli", "hangs")
    assert len(receipt.processes) >= 3
    assert not [process.pid for process in receipt.processes if alive(process.pid)]


async def test_a_second_kill_with_force_cuts_the_grace_short(bench: Bench) -> None:
    run_id = await bench.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    await bench.running(run_id)
    await bench.order(KillRun(run_id=run_id, grace_seconds=300))
    await bench.until(run_id, lambda run: run.status == "terminating")
    await bench.order(KillRun(run_id=run_id, force=True))
    assert (await bench.ended(run_id, 10)).status == "killed"
    assert "TerminationEscalated" in await bench.story(run_id)


async def test_the_same_order_delivered_twice_has_one_effect(bench: Bench) -> None:
    run_id, counter = new_run_id(), new_record_id()
    spec = RunSpec(workflow="w", workflow_version=1, argv=FOREVER, workspace="/")
    order = StartRun(run_id=run_id, spec=spec)
    await bench.order(order, subjects.pool_command("default", run_id), record_id=counter)
    await bench.running(run_id)
    await bench.order(order, subjects.host_command("h1", run_id))
    await bench.order(KillRun(run_id=run_id))
    await bench.ended(run_id)
    await bench.order(order, subjects.pool_command("default", run_id))
    other = await bench.start("true")
    await bench.ended(other)
    story = await bench.story(run_id)
    assert (story.count("RunClaimed"), story.count("ProcessSpawned"), story.count("RunKilled")) == (1, 1, 1)


async def test_a_kill_of_an_ended_run_is_refused_in_the_log(bench: Bench) -> None:
    run_id = await bench.start("true")
    await bench.ended(run_id)
    await bench.order(KillRun(run_id=run_id))
    await bench.told(run_id, "CommandRejected")
    assert (await bench.state(run_id)).status == "completed"


async def test_force_complete_ends_the_tree_and_keeps_what_was_seen(bench: Bench) -> None:
    run_id = await bench.start(*FOREVER)
    before = await bench.running(run_id)
    await bench.order(ForceCompleteRun(run_id=run_id, outcome="completed", reason="good enough"))
    run = await bench.ended(run_id)
    assert run.status == "completed"
    assert run.override is not None
    assert (run.override.outcome, run.override.by, run.override.reason) == (
        "completed",
        "operator",
        "good enough",
    )
    assert "SIGTERM" in run.override.observed
    assert before.attempts[0].main is not None
    assert not alive(before.attempts[0].main.pid)


async def test_an_outcome_declared_during_a_kill_is_the_one_that_counts(bench: Bench) -> None:
    run_id = await bench.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    await bench.running(run_id)
    await bench.order(KillRun(run_id=run_id, grace_seconds=1.0))
    await bench.until(run_id, lambda run: run.status == "terminating")
    await bench.order(ForceCompleteRun(run_id=run_id, outcome="completed"))
    run = await bench.ended(run_id)
    assert run.status == "completed"
    assert run.kill_receipt is not None
    assert run.kill_receipt.verified


async def test_restart_ends_the_old_run_and_names_the_new_one(bench: Bench) -> None:
    run_id, new_id = await bench.start(*FOREVER), new_run_id()
    await bench.running(run_id)
    spec = (await bench.state(run_id)).spec
    assert spec is not None
    await bench.order(RestartRun(run_id=run_id, new_run_id=new_id, spec=spec))
    run = await bench.ended(run_id)
    assert (run.status, run.restarted_as) == ("killed", new_id)
    assert (await bench.state(new_id)).status == "pending"


async def test_a_timeout_ends_the_run_as_such(bench: Bench) -> None:
    run = await bench.ended(await bench.start(*FOREVER, timeout=0.3))
    assert run.status == "timed_out"
    assert run.kill_receipt is not None
    assert run.kill_receipt.via == "policy"


async def test_leftovers_are_said_and_ended_after_the_grace(bench: Bench) -> None:
    run_id = await bench.start("sh", "-c", "setsid sleep 600 & exit 0", kill={"grace": 0.2})
    run = await bench.ended(run_id)
    assert run.status == "completed"
    assert "LeftoversFound" in await bench.story(run_id)


async def test_progress_and_steps_become_facts_and_bad_lines_do_not_matter(bench: Bench) -> None:
    lines = [
        {"step": "plan", "state": "started", "inputs": {"n": 1}},
        {"progress": {"done": 1, "total": 2}},
        {"progress": {"done": 2, "total": 2, "message": "all"}},
        {"step": "plan", "state": "completed", "result": None},
    ]
    text = "\n".join([*(json.dumps(line) for line in lines), "{torn", '"text"', "[1]"]) + "\n"
    run_id = await bench.start("sh", "-c", 'printf "%s" "$1" >> "$RUNPLANE_DIR/reports.jsonl"', "sh", text)
    run = await bench.ended(run_id)
    assert run.status == "completed"
    assert run.progress is not None
    assert (run.progress.done, run.progress.total, run.progress.message) == (2, 2, "all")
    story = await bench.story(run_id)
    assert (story.count("StepStarted"), story.count("StepCompleted"), story.count("ReportSetAside")) == (
        1,
        1,
        1,
    )


async def test_steps_within_steps_keep_their_place(bench: Bench) -> None:
    program = (
        "import runplane\n"
        "with runplane.step('outer', n=1) as outer:\n"
        "    for n in range(2):\n"
        "        with runplane.step('inner', n=n) as inner: inner.result = n\n"
        "    outer.result = 'done'\n"
    )
    run_id = await bench.start(sys.executable, "-c", program)
    assert (await bench.ended(run_id)).status == "completed"
    facts = [record.data for _, record in await bench.bus.story(run_id)]
    assert [(fact.key, fact.result) for fact in facts if isinstance(fact, StepCompleted)] == [
        ("outer#0/inner#0", 0),
        ("outer#0/inner#1", 1),
        ("outer#0", "done"),
    ]


async def test_an_agent_killed_at_any_time_starts_nothing_twice_and_loses_no_output(
    bench: Bench, agent: AgentProcess, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    script = f"echo started >> {starts}; for i in $(seq 60); do echo line $i; sleep 0.03; done; exit 7"
    run_id = await bench.start("sh", "-c", script)
    for pause in (0.02, 0.3, 0.1):
        await asyncio.sleep(pause)
        agent.kill()
        agent.start()
    run = await bench.ended(run_id)
    assert run.exit is not None
    assert (run.status, run.exit.code) == ("failed", 7)
    assert starts.read_text() == "started\n"
    assert await bench.output(run_id) == b"".join(b"line %d\n" % number for number in range(1, 61))
    assert (await bench.story(run_id)).count("RunFailed") == 1


async def test_a_run_that_ended_while_the_agent_was_away_keeps_its_exit_code(
    bench: Bench, agent: AgentProcess, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run_id = await bench.start("sh", "-c", f"read line < {gate}; echo late; exit 9")
    main = (await bench.running(run_id)).attempts[0].main
    assert main is not None
    agent.kill()
    gate.write_text("go\n")
    while alive(main.pid):
        await asyncio.sleep(0.01)
    agent.start()
    run = await bench.ended(run_id)
    assert run.exit is not None
    assert run.exit.code == 9
    assert await bench.output(run_id) == b"late\n"


async def test_a_kill_ordered_while_the_agent_was_away_is_carried_out(
    bench: Bench, agent: AgentProcess
) -> None:
    run_id = await bench.start(*FOREVER)
    await bench.running(run_id)
    agent.kill()
    await bench.order(KillRun(run_id=run_id))
    agent.start()
    assert (await bench.ended(run_id)).status == "killed"


async def test_a_kill_under_way_is_finished_by_the_next_agent(bench: Bench, agent: AgentProcess) -> None:
    run_id = await bench.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    await bench.running(run_id)
    await bench.order(KillRun(run_id=run_id, grace_seconds=1.0))
    await bench.until(run_id, lambda run: run.status == "terminating")
    agent.kill()
    agent.start()
    run = await bench.ended(run_id)
    assert run.status == "killed"
    assert run.kill_receipt is not None
    assert run.kill_receipt.requested_by == "operator"


async def test_the_brokers_death_only_delays(bench: Bench, nats_server: BrokerProcess) -> None:
    run_id = await bench.start("sh", "-c", "for i in $(seq 40); do echo line $i; sleep 0.05; done; exit 4")
    await bench.running(run_id)
    nats_server.kill()
    await asyncio.sleep(1.0)  # the outage itself, during which the run goes on
    nats_server.start()
    run = await bench.ended(run_id, 30)
    assert run.exit is not None
    assert run.exit.code == 4
    assert await bench.output(run_id) == b"".join(b"line %d\n" % number for number in range(1, 41))


async def test_two_agents_never_start_the_same_run(
    bench: Bench, nats_server: BrokerProcess, tmp_path: Path
) -> None:
    second = AgentProcess(tmp_path / "second", nats_server.url, host="h2")
    second.start()
    try:
        log = tmp_path / "log"
        runs = [await bench.start("sh", "-c", f"echo $RUNPLANE_RUN_ID >> {log}") for _ in range(30)]
        ended = [await bench.ended(run_id) for run_id in runs]
    finally:
        second.stop()
    assert sorted(log.read_text().split()) == sorted(runs)
    assert all(run.status == "completed" for run in ended)


async def test_a_second_agent_on_the_same_home_is_refused(
    bench: Bench, agent: AgentProcess, nats_server: BrokerProcess
) -> None:
    await bench.ended(await bench.start("true"))
    second = AgentProcess(agent.home, nats_server.url)
    second.start()
    assert second.wait() == 1
    assert f"pid {agent.pid}" in second.log.read_text()


async def test_a_flipped_record_of_the_journal_takes_no_other_along(
    bench: Bench, agent: AgentProcess
) -> None:
    first, second = await bench.start(*FOREVER), await bench.start(*FOREVER)
    await bench.running(first)
    await bench.running(second)
    agent.kill()
    lines = agent.journal.read_bytes().splitlines(keepends=True)
    agent.journal.write_bytes(
        b"".join([*lines, b'00000000 {"kind":"forget","run_id":"' + second.encode() + b'"}\n', b"torn"])
    )
    agent.start()
    for run_id in (first, second):
        await bench.order(KillRun(run_id=run_id))
        assert (await bench.ended(run_id)).status == "killed"
    assert len((agent.journal.parent / "journal.set-aside").read_bytes().splitlines()) == 2


async def test_garbage_addressed_to_the_host_does_not_stop_it(bench: Bench) -> None:
    for payload in (b"\xff\xfe", b"{" * 20_000, b'{"type": "Nonsense"}', b"NaN"):
        await bench.bus.publish_bytes(subjects.host_command("h1", new_run_id()), payload)
        await bench.bus.publish_bytes(subjects.pool_command("default", new_run_id()), payload)
    assert (await bench.ended(await bench.start("true"))).status == "completed"


async def test_a_secret_reaches_the_process_and_nothing_else(bench: Bench, agent: AgentProcess) -> None:
    secrets = agent.home / "agent" / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / "KEY").write_text("hunter2-value\n")
    run_id = await bench.start("sh", "-c", 'printf %s "$KEY" | wc -c', env={"KEY": "secret:KEY"})
    await bench.ended(run_id)
    assert await bench.output(run_id) == b"%d\n" % len("hunter2-value")
    for _, record in await bench.bus.story(run_id):
        assert b"hunter2" not in record.encode()
    assert b"hunter2" not in agent.journal.read_bytes()


async def test_a_missing_secret_fails_the_run_and_says_where_to_put_it(bench: Bench) -> None:
    run = await bench.ended(await bench.start("true", env={"KEY": "secret:ABSENT"}))
    assert run.failure is not None
    assert run.failure.kind == "secret_missing"
    assert "secret:ABSENT" in run.failure.message


async def test_progress_is_read_out_of_what_is_printed_also_over_a_restart(
    bench: Bench, agent: AgentProcess, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    program = (
        "import os, sys, time\n"
        "for n in range(1, 4): print(f'{n}/6 files', flush=True)\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"
        'print(\'{"step": "rest", "state": "started"}\', flush=True)\n'
        "for n in range(4, 7): print(f'{n}/6 files', flush=True)\n"
    )
    spec: dict[str, Any] = {
        "output": "jsonl",
        "progress": {"pattern": "(?P<done>[0-9]+)/(?P<total>[0-9]+) (?P<unit>.*)"},
    }
    run_id = await bench.start(sys.executable, "-S", "-c", program, str(gate), **spec)
    run = await bench.until(run_id, lambda run: run.progress is not None and run.progress.done == 3)
    assert run.progress is not None
    assert (run.progress.total, run.progress.unit) == (6, "files")
    agent.kill()
    gate.touch()
    agent.start()
    run = await bench.ended(run_id)
    assert run.progress is not None
    assert (run.status, run.progress.done) == ("completed", 6)
    story = await bench.story(run_id)
    assert story.count("StepStarted") == 1
    assert story.count("ProgressReported") <= 4
