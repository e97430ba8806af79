"""Runs that print whatever they like, several at once: all of it arrives, and the agent stays as it was."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture.fleet import Fleet, Host
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

MIB = 2**20
MOST_GROWN = 64 * MIB
AT_ONCE = 3
PRINTER = """
import os, random, sys
chance = random.Random(int(sys.argv[1]))
out = sys.stdout.buffer
left = int(sys.argv[2])
while left > 0:
    size = min(left, int(10 ** chance.uniform(0, 6.5)))
    kind = chance.randrange(5)
    if kind == 0: piece = chance.randbytes(min(size, 1 << 20))
    elif kind == 1: piece = b"x" * size
    elif kind == 2: piece = b"\\n" * size
    elif kind == 3: piece = ("\\u00e9\\U0001f40d" * size).encode()[1:size + 1]
    else: piece = b"\\x1b[31mline\\x1b[0m\\r\\n" * (size // 15 + 1)
    out.write(piece); left -= len(piece)
    if chance.random() < 0.2: out.flush()
out.flush()
"""


def rss_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


async def printed_and_arrived(host: Host, tally: Tally, seed: int, size: int) -> None:
    run_id = await host.start("python3", "-S", "-c", PRINTER, str(seed), str(size))
    run = await host.log.ended(run_id)
    printed = (host.directory(run_id) / "stdout.log").read_bytes()
    arrived = await host.log.output(run_id)
    equal = hashlib.sha256(printed).digest() == hashlib.sha256(arrived).digest()
    held = equal and run.status == "completed" and len(printed) >= size
    tally.held("G13", held, f"seed {seed}: {len(arrived)} of {len(printed)} bytes, {run.status}")


async def test_runs_print_whatever_they_like(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """Runs print binary, half characters, colours, lines of megabytes, up to 20 MB each; and the agent's memory"""
    chance, at_once = random.Random(13), asyncio.Semaphore(AT_ONCE)
    host = fleet.host()
    host.agent.start()
    await host.log.ended(await host.start("true"))
    before = most = rss_of(host.agent.pid)

    async def one(seed: int) -> None:
        async with at_once:
            await printed_and_arrived(host, tally, seed, int(10 ** chance.uniform(0, 7.3)))

    runs = [asyncio.create_task(one(seed)) for seed in range(many(6, 80))]
    while not all(run.done() for run in runs):
        most = max(most, rss_of(host.agent.pid))
        await asyncio.wait(runs, timeout=0.05)
    await asyncio.gather(*runs)
    tally.held("G13", most - before < MOST_GROWN, f"the agent grew from {before} to {most} bytes")
    host.agent.stop()
    tally.check()
