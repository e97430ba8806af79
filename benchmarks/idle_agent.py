"""What an agent costs that does nothing but watch: many quiet runs, none of them doing anything.

    python -m benchmarks.idle_agent [--runs 200] [--seconds 60] [--json]

A real system with real processes (`sleep`). Printed: the CPU of the agent and of its zygote as a share of one core, and
the messages that it sends. The aim is under 2 % of a core for 200 runs. Takes about two minutes.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from runplane.bus import Bus
from runplane.contract.subjects import TELEMETRY_STREAM

TARGET_PERCENT = 2.0
READY_SECONDS = 60.0
SETTLE_SECONDS = 30.0


def main() -> int:
    """Measure and print; 1 when the target was missed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=200)
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="runplane-bench-") as directory,
        _system(Path(directory), given.runs) as end,
    ):
        found = _measure(end, given)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"{found['runs']} quiet runs, {found['seconds']:g} s\n"
            f"agent and zygote     {found['percent']:6.2f} % of a core (aim: under {TARGET_PERCENT:g})\n"
            f"per run              {1e4 * found['percent'] / found['runs']:6.1f} µs of CPU a second\n"
            f"messages             {found['messages_a_second']:6.2f} a second\n"
            f"load average         {found['load']:6.2f} on {os.cpu_count()} cores"
        )
    return int(found["percent"] > TARGET_PERCENT)


@contextmanager
def _system(directory: Path, runs: int) -> Iterator[dict[str, Any]]:
    """`runplane up` in a home of its own with a workflow that sleeps; what its endpoint.json says."""
    home, workflows = directory / "home", directory / "workflows"
    workflows.mkdir()
    (workflows / "nap.yaml").write_text("name: nap\ncommand: [sleep, '3600']\nworkspace: /\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    env["RUNPLANE_SLOTS"] = str(runs)
    command = [
        sys.executable, "-m", "runplane.cli", "up", "--port", "0", "--home", str(home), "--workflows", str(workflows),
    ]  # fmt: skip
    with (directory / "up.out").open("wb") as output:
        up = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        endpoint = home / "endpoint.json"
        deadline = time.monotonic() + READY_SECONDS
        while not endpoint.exists():
            if up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the system did not start:\n{(directory / 'up.out').read_text()}")
            time.sleep(0.05)
        yield json.loads(endpoint.read_text())
    finally:
        down = [sys.executable, "-m", "runplane.cli", "down", "--kill-runs", "--home", str(home)]
        subprocess.run(down, env=env, check=False, stdout=subprocess.DEVNULL, timeout=120)
        up.terminate()
        up.wait(READY_SECONDS)


def _measure(endpoint: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {endpoint['token']}"}
    with httpx.Client(base_url=f"{endpoint['url']}/api/v1", headers=headers, timeout=60) as api:
        for _ in range(given.runs):
            api.post("/runs", json={"workflow": "nap"}).raise_for_status()
        deadline = time.monotonic() + READY_SECONDS
        while api.get("/runs", params={"status": "running", "limit": 1}).json()["total"] < given.runs:
            if time.monotonic() > deadline:
                raise SystemExit("not all runs are running")
            time.sleep(0.2)
    time.sleep(SETTLE_SECONDS)
    agent = psutil.Process(endpoint["pids"]["agent"])
    watched = [agent, *(child for child in agent.children() if "zygote" in " ".join(child.cmdline()))]
    before, sent, begun = _spent(watched), asyncio.run(_sent(endpoint)), time.monotonic()
    time.sleep(given.seconds)
    seconds = time.monotonic() - begun
    return {
        "runs": given.runs,
        "seconds": round(seconds, 1),
        "percent": round(100 * (_spent(watched) - before) / seconds, 2),
        "target_percent": TARGET_PERCENT,
        "messages_a_second": round((asyncio.run(_sent(endpoint)) - sent) / seconds, 2),
        "load": round(os.getloadavg()[0], 2),
    }


def _spent(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def _sent(endpoint: dict[str, Any]) -> int:
    bus = await Bus.connect(endpoint["nats_url"], name="bench")
    try:
        return await bus.last_seq(TELEMETRY_STREAM)
    finally:
        await bus.close()


if __name__ == "__main__":
    sys.exit(main())
