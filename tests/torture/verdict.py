"""What must be true of a run whatever happened to its agent meanwhile: the same questions for every part."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runplane.contract.run import Run
from tests.torture.fleet import Host
from tests.torture.log import LIMIT
from tests.torture.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Expected:
    """``starts``: where the program writes its pid when it begins. ``code``: None where a signal ended it."""

    status: str
    starts: Path
    code: int | None = None
    signals: tuple[str, ...] = ()
    output: bytes | None = None


async def judge(tally: Tally, host: Host, run_id: str, expected: Expected, what: str) -> None:
    """Count one start (G7), one ending (G15), the exact exit and output (G11), and the proof of a kill (G8)."""
    run = host.log.run(run_id)
    pids = expected.starts.read_text().split() if expected.starts.exists() else []
    tally.held("G7", len(pids) == 1, f"{what}: started {len(pids)} times")
    endings = host.log.endings(run_id)
    one = len(endings) == 1 and run.anomalies == 0 and run.status == expected.status
    story = host.log.story(run_id)
    tally.held(
        "G15", one, f"{what}: {run.status} by {endings} ({run.anomalies} anomalies, {run.failure}): {story}"
    )
    seen, wrong = await _exit_and_output(host, run, expected)
    tally.held("G11", wrong is None, f"{what}: {wrong}; {seen}")
    if expected.status == "killed":
        receipt = run.kill_receipt
        proven = receipt is not None and receipt.verified and not receipt.survivors
        tally.held("G8", proven, f"{what}: {receipt}")


async def kernel_truth(host: Host, run_id: str) -> dict[str, Any]:
    """What the shim saw: ``exit.json``, which is written beside the telling."""
    file = host.directory(run_id) / "exit.json"
    deadline = asyncio.get_running_loop().time() + LIMIT
    while not file.exists():
        assert asyncio.get_running_loop().time() < deadline, f"{file} is not there"
        await asyncio.sleep(0.005)
    truth: dict[str, Any] = json.loads(file.read_text())
    return truth


async def _exit_and_output(host: Host, run: Run, expected: Expected) -> tuple[str, str | None]:
    truth = await kernel_truth(host, run.run_id)
    told = run.exit
    seen = f"told {told}, exit.json {truth['code']} {truth['signal']}"
    if told is None or (told.code, told.signal) != (truth["code"], truth["signal"]):
        return seen, "the exit that was told is not the kernel's"
    if expected.code != told.code or (told.signal is not None and told.signal not in expected.signals):
        return seen, f"expected {expected.code} {expected.signals}"
    try:
        output = await host.log.output(run.run_id)
    except AssertionError as error:
        return seen, str(error)
    printed = (host.directory(run.run_id) / "stdout.log").read_bytes()
    if output != printed or (expected.output is not None and output != expected.output):
        return seen, f"{len(output)} bytes arrived of {len(printed)} printed"
    return seen, None
