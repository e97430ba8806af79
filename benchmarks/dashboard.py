"""What it costs the control plane that people look: the table of runs with many rows, many of them changing.

    python -m benchmarks.dashboard [--runs 5000] [--changing 250] [--viewers 5] [--seconds 20] [--json]

A real control plane and broker; the runs are real records of the log, told as a host would tell them (no process is
started), and they change twice a second by events and by samples. The viewers are pages of a real Chromium. Printed:
the control plane's CPU without and with viewers, and how evenly the browser draws. Takes about two minutes.
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Page, async_playwright

from runplane.bus import Bus
from runplane.contract.commands import StartRun
from runplane.contract.events import HostJoined, ProcessSpawned, ProgressReported, RunClaimed
from runplane.contract.run import Actor, ProcessRef, Resources
from runplane.contract.spec import RunSpec
from runplane.contract.subjects import host_event, host_presence, pool_command, telemetry
from runplane.contract.telemetry import HostTelemetry, Memory, Slots
from runplane.contract.value import Value
from runplane.stamp import stamp

HOST = "bench"
ACTOR = Actor(principal="operator", surface="cli")
SPEC = RunSpec(workflow="busy", workflow_version=1, argv=("sleep", "600"), workspace="/")
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
EVERY_SECONDS = 0.5
TARGET_PERCENT = 5.0
READY_SECONDS = 60.0
_AT_ONCE = 200
_SETTLE_SECONDS = 5.0
_FRAMES = """seconds => new Promise(done => {
  const gaps = []; let last = performance.now(); const end = last + 1000 * seconds;
  const frame = now => { gaps.push(now - last); last = now; now < end ? requestAnimationFrame(frame) : done(gaps); };
  requestAnimationFrame(frame);
})"""


def main() -> int:
    """Measure and print; 1 when the viewers cost more than the target."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=5000)
    asked.add_argument("--changing", type=int, default=250)
    asked.add_argument("--viewers", type=int, default=5)
    asked.add_argument("--seconds", type=float, default=20.0)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="runplane-bench-") as directory,
        _system(Path(directory)) as endpoint,
    ):
        found = asyncio.run(_measure(endpoint, given))
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    return int(found["viewers_percent"] > TARGET_PERCENT)


@contextmanager
def _system(directory: Path) -> Iterator[dict[str, Any]]:
    """`runplane up` without an agent, in a home of its own; what its endpoint.json says."""
    home = directory / "home"
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    command = [sys.executable, "-m", "runplane.cli", "up", "--no-agent", "--port", "0", "--home", str(home)]
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
        up.terminate()
        up.wait(READY_SECONDS)


async def _measure(endpoint: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    bus = await Bus.connect(endpoint["nats_url"], name="bench")
    plane = psutil.Process(endpoint["pids"]["control_plane"])
    run_ids = [f"run_{secrets.token_hex(6)}" for _ in range(given.runs)]
    await _fill(bus, run_ids)
    changing = asyncio.create_task(_change(bus, run_ids[: given.changing]))
    try:
        await asyncio.sleep(_SETTLE_SECONDS)
        alone = await _cpu_percent(plane, given.seconds)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            try:
                pages = [await _page(browser, endpoint) for _ in range(given.viewers)]
                await pages[0].bring_to_front()
                rows = await _loaded(pages[0], given.runs)
                await asyncio.sleep(_SETTLE_SECONDS)
                frames = asyncio.create_task(pages[0].evaluate(_FRAMES, given.seconds))
                watched = await _cpu_percent(plane, given.seconds)
                gaps = sorted(await frames)
            finally:
                await browser.close()
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        await bus.close()
    return {
        "runs": given.runs,
        "changing": given.changing,
        "viewers": given.viewers,
        "rows_shown": rows,
        "alone_percent": round(alone, 2),
        "watched_percent": round(watched, 2),
        "viewers_percent": round(watched - alone, 2),
        "target_percent": TARGET_PERCENT,
        "frame_ms_median": round(gaps[len(gaps) // 2], 1),
        "frame_ms_95": round(gaps[int(len(gaps) * 0.95)], 1),
        "load": round(os.getloadavg()[0], 2),
    }


async def _fill(bus: Bus, run_ids: list[str]) -> None:
    """The runs as the log would have them: asked for, claimed, started."""
    joined = HostJoined(
        host=HOST, agent_id="bench", boot_id="bench", pools=("default",), slots=len(run_ids), version="bench",
        platform="bench", cpus=2, memory_bytes=2**34, mechanism="none",
    )  # fmt: skip
    await bus.publish(stamp(joined, subject=host_presence(HOST), source=f"host/{HOST}", actor=ACTOR))
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(run_id: str) -> None:
        async with free:
            start = StartRun(run_id=run_id, spec=SPEC)
            await bus.publish(
                stamp(start, subject=pool_command("nobody", run_id), source="bench", actor=ACTOR)
            )
            await _tell(bus, run_id, RunClaimed(host=HOST, attempt=1, boot_id="bench", agent_id="bench"))
            process = ProcessRef(boot_id="bench", pid=1, start_time=1)
            await _tell(bus, run_id, ProcessSpawned(main=process, shim=process, mechanism="none"))

    await asyncio.gather(*(one(run_id) for run_id in run_ids))


async def _tell(bus: Bus, run_id: str, fact: Value) -> None:
    await bus.publish(
        stamp(fact, subject=host_event(HOST, run_id), source=f"host/{HOST}", actor=ACTOR, attempt=1)
    )


async def _change(bus: Bus, run_ids: list[str]) -> None:
    """Twice a second: a heartbeat with a new sample of each, and a new progress of each."""
    turn = 0
    while True:
        begun = time.monotonic()
        turn += 1
        samples = {
            run_id: Resources(
                cpu_percent=float((turn * 7 + number) % 100), rss_bytes=(turn + number) % 512 * 2**20, processes=1,
                threads=1, sampled_at=datetime.now(UTC),
            )
            for number, run_id in enumerate(run_ids)
        }  # fmt: skip
        beat = HostTelemetry(
            host=HOST, agent_id="bench", boot_id="bench", time=datetime.now(UTC), seq=turn, cpus=2,
            memory=Memory(total=2**34, available=2**33), slots=Slots(total=5000, used=250), runs=samples,
        )  # fmt: skip
        await bus.publish_bytes(telemetry(HOST), beat.model_dump_json().encode(), timeout=5)
        progress = ProgressReported(done=float(turn % 100), total=100.0, unit="steps", message=f"turn {turn}")
        await asyncio.gather(*(_tell(bus, run_id, progress) for run_id in run_ids))
        await asyncio.sleep(max(0.0, EVERY_SECONDS - (time.monotonic() - begun)))


async def _cpu_percent(process: psutil.Process, seconds: float) -> float:
    before, begun = sum(process.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(seconds)
    return 100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begun)


async def _page(browser: Any, endpoint: dict[str, Any]) -> Page:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page: Page = await context.new_page()
    await page.goto(f"{endpoint['url']}/runs?token={endpoint['token']}", timeout=READY_SECONDS * 1000)
    return page


async def _loaded(page: Page, runs: int) -> int:
    """Wait until the table has all rows; how many it has."""
    count = """() => { const grid = document.querySelector('.rp-grid');
        return getElement(Number(grid.id.slice(1)))?.api?.getDisplayedRowCount() ?? 0; }"""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        rows = int(await page.evaluate(count))
        if rows >= runs or time.monotonic() > deadline:
            return rows
        await asyncio.sleep(0.2)


def _show(found: dict[str, Any]) -> None:
    print(
        f"{found['runs']} runs, {found['changing']} of them changing twice a second, {found['rows_shown']} rows shown\n"
        f"control plane without viewers   {found['alone_percent']:6.2f} % of a core\n"
        f"with {found['viewers']} viewers                  {found['watched_percent']:6.2f} % of a core\n"
        f"for the viewers                 {found['viewers_percent']:6.2f} % of a core (aim: under {TARGET_PERCENT:g})\n"
        f"frames of the browser         {found['frame_ms_median']:6.1f} ms median, {found['frame_ms_95']:.1f} at 95 %\n"
        f"load average at the end         {found['load']:6.2f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    sys.exit(main())
