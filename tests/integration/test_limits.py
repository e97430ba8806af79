"""Limits and bounds: whatever a run takes or prints, it is ended with the reason said, and the agent stays small."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from agent.process.limit_groups import LimitHierarchies
from runplane.bus import Bus
from runplane.contract.events import ProcessExited
from runplane.contract.run import Run
from tests.agent_process import LIMIT, AgentProcess, Bench, alive
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

AgentMaker = Callable[..., AgentProcess]
MIB = 2**20
KERNEL = LimitHierarchies.find(f"probe-of-tests-{os.getpid()}").controllers
GREEDY = "import time\nheld = []\nwhile True:\n    held.append(bytearray(4 << 20))\n    time.sleep(0.002)\n"
CROWD = (
    "import subprocess, time\nwhile True:\n    subprocess.Popen(['sleep', '600'])\n    time.sleep(0.002)\n"
)
FLOOD = "import sys\nwhile True:\n    sys.stdout.write('x' * 65535 + '\\n')\n"


@pytest.fixture
def agent(
    nats_server: BrokerProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[AgentProcess]:
    settings: dict[str, str] = getattr(request, "param", {})
    running = AgentProcess(tmp_path / "agent-home", nats_server.url, **settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def bench(nats_server: BrokerProcess, agent: AgentProcess) -> AsyncIterator[Bench]:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    yield Bench(bus, agent.host)
    await bus.close()


def python(program: str) -> tuple[str, ...]:
    return ("python3", "-S", "-c", program)


def ended_for(run: Run, kind: str) -> str:
    """It failed for this limit, everything of it is gone, and the receipt shows it; what was said."""
    assert run.status == "failed"
    assert run.failure is not None
    assert run.failure.kind == kind
    assert run.attempts[-1].verified_by
    main = run.attempts[-1].main
    assert main is not None
    assert not alive(main.pid)
    return run.failure.message


by_kernel_and_by_agent = pytest.mark.parametrize(
    ("agent", "how"),
    [
        pytest.param({}, "the kernel enforced", id="kernel"),
        pytest.param({"RUNPLANE_LIMITS": "watch"}, "the agent saw", id="agent"),
    ],
    indirect=["agent"],
)


@by_kernel_and_by_agent
async def test_too_much_memory_ends_the_run(bench: Bench, how: str) -> None:
    if "kernel" in how:
        assert "memory" in KERNEL, "this machine has a memory controller"
    run = await bench.ended(await bench.start(*python(GREEDY), limits={"memory": 64 * MIB}))
    said = ended_for(run, "memory_limit")
    assert how in said
    assert "64 MiB" in said
    assert "limits.memory" in said


@by_kernel_and_by_agent
async def test_too_much_memory_in_a_child_ends_the_run(bench: Bench, how: str) -> None:
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {GREEDY!r}])\nwhile True: input()"
    run_id = await bench.start(
        "sh", "-c", 'sleep 1000 | python3 -S -c "$1"', "sh", program, limits={"memory": 64 * MIB}
    )
    assert how in ended_for(await bench.ended(run_id), "memory_limit")


@by_kernel_and_by_agent
async def test_too_many_processes_end_the_run(bench: Bench, how: str) -> None:
    if "kernel" in how:
        assert "pids" in KERNEL, "this machine has a pids controller"
    run = await bench.ended(await bench.start(*python(CROWD), limits={"processes": 20}))
    assert how in ended_for(run, "process_limit")


async def test_within_its_limits_a_run_completes(bench: Bench) -> None:
    limits = {"memory": 256 * MIB, "processes": 20, "output": MIB, "cpus": 0.5}
    run = await bench.ended(await bench.start("sh", "-c", "echo small; true | cat", limits=limits))
    assert (run.status, run.failure) == ("completed", None)


async def test_an_ordinary_failure_is_not_blamed_on_a_limit(bench: Bench) -> None:
    run = await bench.ended(await bench.start("sh", "-c", "exit 3", limits={"memory": 64 * MIB}))
    assert run.failure is not None
    assert run.failure.kind == "exit_code"


async def test_cores_are_throttled(bench: Bench) -> None:
    assert "cpu" in KERNEL, "this machine has a cpu controller"
    program = "import time\nend = time.monotonic() + 1.0\nwhile time.monotonic() < end: pass\n"
    run_id = await bench.start(*python(program), limits={"cpus": 0.2})
    await bench.ended(run_id)
    (exited,) = [r.data for _, r in await bench.bus.story(run_id) if isinstance(r.data, ProcessExited)]
    assert exited.user_seconds is not None
    assert exited.user_seconds < 0.6, "of the second that it spun for"


async def test_too_much_output_ends_the_run_and_what_was_printed_is_kept(bench: Bench) -> None:
    run_id = await bench.start(*python(FLOOD), limits={"output": MIB})
    said = ended_for(await bench.ended(run_id), "output_limit")
    assert "1.0 MiB" in said
    printed = await bench.output(run_id)
    assert len(printed) > MIB
    assert set(printed) == set(b"x\n")


@pytest.mark.parametrize("agent", [{"RUNPLANE_MOST_OUTPUT_MB": "1"}], indirect=True)
async def test_output_is_bounded_where_the_workflow_says_nothing(bench: Bench) -> None:
    ended_for(await bench.ended(await bench.start(*python(FLOOD))), "output_limit")


async def test_a_limit_is_kept_by_the_next_agent(bench: Bench, agent: AgentProcess) -> None:
    wait_for_it = f"import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n{GREEDY}"
    place = agent.home / "work"
    place.mkdir()
    run_id = await bench.start(*python(wait_for_it), limits={"memory": 64 * MIB}, workspace=str(place))
    await bench.running(run_id)
    agent.kill()
    (place / "go").touch()
    agent.start()
    ended_for(await bench.ended(run_id), "memory_limit")


async def test_no_place_is_left_in_any_hierarchy(bench: Bench, agent: AgentProcess) -> None:
    limits = {"memory": 64 * MIB, "processes": 20, "cpus": 1}
    for _ in range(3):
        await bench.ended(await bench.start("true", limits=limits))
    run_id = await bench.start("sleep", "600", limits=limits)
    run = await bench.running(run_id)
    main = run.attempts[-1].main
    assert main is not None
    places = [
        line.partition("runplane/")[2] for line in Path(f"/proc/{main.pid}/cgroup").read_text().splitlines()
    ]
    (name,) = {place for place in places if place}
    os.kill(main.pid, 9)
    await bench.ended(run_id)
    agent.stop()
    assert list(Path("/sys/fs/cgroup").glob(f"*/**/runplane/{name}")) == []


def rss_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.parametrize(
    ("program", "size"),
    [
        pytest.param("seq 1000000", sum(len(str(n)) + 1 for n in range(1, 1_000_001)), id="a million lines"),
        pytest.param("head -c 100000000 /dev/zero | tr '\\0' x", 100_000_000, id="one line of 100 MB"),
        pytest.param("head -c 20000000 /dev/urandom", 20_000_000, id="binary"),
        pytest.param("printf '\\303'; printf '\\033[31mred\\033[0m'", 13, id="half a character, and colour"),
    ],
)
async def test_whatever_is_printed_arrives_whole_and_the_agent_stays_small(
    bench: Bench, agent: AgentProcess, program: str, size: int
) -> None:
    await bench.ended(await bench.start("true"))
    before = rss_of(agent.pid)
    run_id = await bench.start("sh", "-c", program)
    await bench.ended(run_id, limit=60)
    most = before
    shipped = asyncio.create_task(bench.output(run_id))
    async with asyncio.timeout(LIMIT * 4):
        while not shipped.done():
            most = max(most, rss_of(agent.pid))
            await asyncio.wait([shipped], timeout=0.05)
    printed = await shipped
    assert len(printed) == size
    assert most - before < 64 * MIB
