"""A host that cannot reach the broker ends what its workflow says, by itself, by its agent or by the run's shim."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runplane.contract.commands import KillRun
from runplane.contract.run import Run
from tests.agent_process import AgentProcess, Bench, alive
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio

LEASE = {"stop_after": 1.0, "lost_after": 30.0}
SLEEPER = "trap 'exit 0' TERM; sleep 600 & wait"
STUBBORN = "trap '' TERM; while :; do sleep 0.05; done"


async def running(bench: Bench, program: str, **spec: Any) -> tuple[str, int]:
    terms: dict[str, Any] = {"kill": {"grace": 0.3}, "disconnect": LEASE, **spec}
    run_id = await bench.start("sh", "-c", program, **terms)
    run = await bench.until(run_id, lambda run: run.status == "running")
    main = run.attempts[-1].main
    assert main is not None
    return run_id, main.pid


async def gone(pid: int, limit: float = 15.0) -> None:
    async with asyncio.timeout(limit):
        while alive(pid):
            await asyncio.sleep(0.02)


def lost(run: Run) -> bool:
    return run.failure is not None and run.failure.kind == "host_lost" and bool(run.attempts[-1].verified_by)


async def test_a_lease_that_is_renewed_ends_nothing(watching_bench: Bench) -> None:
    run_id = await watching_bench.start("sleep", "2.5", disconnect=LEASE)
    assert (await watching_bench.until(run_id, lambda run: run.status == "completed")).exit is not None


async def test_the_shim_ends_it_for_an_agent_that_was_killed(
    watching_agent: AgentProcess, watching_bench: Bench
) -> None:
    leased = [await running(watching_bench, program) for program in (SLEEPER, STUBBORN)]
    free, free_pid = await running(watching_bench, SLEEPER, disconnect={"lost_after": 30.0})
    watching_agent.kill()
    for _, pid in leased:
        await gone(pid)
    assert alive(free_pid)
    watching_agent.start()
    for run_id, _ in leased:
        run = await watching_bench.until(run_id, lambda run: run.status == "lost")
        assert lost(run), run
    await watching_bench.order(KillRun(run_id=free, force=True))
    await watching_bench.until(free, lambda run: run.status == "killed")


async def test_the_shim_ends_it_for_an_agent_that_hangs(
    watching_agent: AgentProcess, watching_bench: Bench
) -> None:
    run_id, pid = await running(watching_bench, STUBBORN)
    os.kill(watching_agent.pid, signal.SIGSTOP)
    try:
        await gone(pid)
    finally:
        os.kill(watching_agent.pid, signal.SIGCONT)
    assert lost(await watching_bench.until(run_id, lambda run: run.status == "lost"))


async def test_an_agent_that_is_cut_off_ends_it_and_says_so_when_it_is_back(
    nats_server: BrokerProcess, watching_bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "asked"
    program = f"trap 'date >{file}; exit 0' TERM; sleep 600 & wait"
    run_id, pid = await running(watching_bench, program)
    nats_server.kill()
    await gone(pid)
    nats_server.start()
    run = await watching_bench.until(run_id, lambda run: run.status == "lost")
    assert lost(run), run
    assert "cut off from the broker for" in (run.failure.message if run.failure is not None else "")
    assert file.exists(), "it was not asked to end first"
