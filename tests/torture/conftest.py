"""What every part of the torture needs: how many times, where it is counted, and that nothing is left of it.

`make torture` sets RUNPLANE_TORTURE and so the large counts; an ordinary run of the tests takes the small ones.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runplane.bus import Bus
from tests.broker_process import BrokerProcess
from tests.torture.fleet import Fleet
from tests.torture.left import left
from tests.torture.log import Log
from tests.torture.tally import Tally, results

TORTURE_SECONDS = 900
GONE_SECONDS = 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if results() is not None:
        for item in items:
            item.add_marker(pytest.mark.timeout(TORTURE_SECONDS))


@pytest.fixture
def many() -> Callable[[int, int], int]:
    """``many(small, large)``: how many times."""
    return lambda small, large: small if results() is None else large


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Where the part counts; its name in the table is the first line of the test's docstring."""
    counted = Tally((request.function.__doc__ or request.node.name).strip().splitlines()[0])
    yield counted
    file = results()
    if file is not None:
        counted.write(file)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """After the test there is no process, zombie, cgroup, mount or socket of it."""
    yield
    deadline = time.monotonic() + GONE_SECONDS
    while there := left(tmp_path):
        assert time.monotonic() < deadline, "\n".join(["left behind:", *there])
        time.sleep(0.02)


@pytest.fixture
async def log(nats_server: BrokerProcess) -> AsyncIterator[Log]:
    """The log of a broker of this test's own, followed."""
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    async with Log.follow(bus) as following:
        yield following
    await bus.close()


@pytest.fixture
async def fleet(log: Log, nats_server: BrokerProcess, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Makes agents on that broker; whatever they left is ended with them."""
    agents = Fleet(log, nats_server.url, tmp_path)
    yield agents
    assert agents.end() == []
