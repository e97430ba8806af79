"""Very many runs, one after the other and together: nothing of them stays with the agent."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.process.kernel import read_stat
from agent.process.procfs import pids
from runplane.contract.commands import KillRun
from tests.torture.fleet import Fleet, Host
from tests.torture.left import namespace
from tests.torture.tally import Tally

pytestmark = pytest.mark.anyio

LIMIT = 20.0
AT_ONCE = 12
LOOKS = 5
SHAPES = (
    ("true",),
    ("sh", "-c", "exit 3"),
    ("sh", "-c", "sleep 0.05 & exec true"),
    ("sh", "-c", "(setsid sleep 600 &) ; true"),
    ("sh", "-c", "kill -9 $$"),
    ("/nowhere/no-such-program",),
    ("sh", "-c", "sleep 600 & sleep 600"),
)
KILLED = len(SHAPES) - 1


def below(ancestor: int) -> Iterator[tuple[int, str, str]]:
    """Every process below it, zombies included: pid, state, name."""
    parents = {pid: stat for pid in pids() if (stat := read_stat(pid)) is not None}
    for pid, stat in parents.items():
        above = stat.ppid
        while above in parents and above != ancestor:
            above = parents[above].ppid
        if above == ancestor:
            yield pid, stat.state, stat.name


def children(parent: int) -> list[int]:
    """Of the agent: the parent of its shims."""
    return [pid for pid in pids() if (stat := read_stat(pid)) is not None and stat.ppid == parent]


def descriptors(pid: int) -> Counter[str]:
    """What it holds open, without the numbers that change."""
    held: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held[str(link.readlink()).split(":")[0].rstrip("0123456789")] += 1
    return held


def cgroups(home: Path) -> list[str]:
    """The cgroups of runs of the agent, in every hierarchy."""
    found = Path("/sys/fs/cgroup").glob(f"*/**/runplane/{namespace(home)}/*/")
    return [str(place) for place in found]


def at_rest(host: Host) -> dict[str, object]:
    """What an agent without runs has: nothing of this may grow with the runs it has had."""
    agent = host.agent.pid
    tree = list(below(agent))
    return {
        "processes": Counter(name for _, state, name in tree if state != "Z"),
        "zombies": [line for line in tree if line[1] == "Z"],
        "descriptors": [descriptors(pid) for pid in (agent, *children(agent))],
        "threads of the agent": len(list(Path(f"/proc/{agent}/task").iterdir())),
        "cgroups": cgroups(host.agent.home / "agent"),
    }


async def is_so(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def rest_of(host: Host) -> dict[str, object]:
    """What it has when nothing of it changes any more."""
    deadline = time.monotonic() + LIMIT
    seen, times = at_rest(host), 0
    while times < LOOKS:
        assert time.monotonic() < deadline, f"the agent does not come to rest: {seen}"
        await asyncio.sleep(0.05)
        now = at_rest(host)
        seen, times = now, times + 1 if now == seen and not now["zombies"] and not now["cgroups"] else 0
    return seen


async def one_run(host: Host, chance: random.Random) -> None:
    kind = chance.randrange(len(SHAPES))
    run_id = await host.start(*SHAPES[kind], leftovers="end", kill={"grace": 0.2})
    if kind == KILLED:
        await host.log.running(run_id)
        await host.order(KillRun(run_id=run_id, force=chance.random() < 0.5))
    await host.log.ended(run_id)


async def test_nothing_stays_of_very_many_runs(
    fleet: Fleet, tally: Tally, many: Callable[[int, int], int]
) -> None:
    """Runs of seven kinds, twelve at once; then the agent has no zombie, process, descriptor or cgroup more"""
    chance, at_once = random.Random(5), asyncio.Semaphore(AT_ONCE)
    host = fleet.host(RUNPLANE_SLOTS=str(AT_ONCE))
    host.agent.start()

    async def one() -> None:
        async with at_once:
            await one_run(host, chance)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    before = await rest_of(host)
    runs = many(40, 1000)
    await asyncio.gather(*(one() for _ in range(runs)))
    same = await is_so(lambda: at_rest(host) == before)
    tally.held("nothing left", same, f"before {before}, after {runs} runs {at_rest(host)}")
    tally.tried["nothing left"] += runs - 1
    host.agent.stop()
    tally.check()
