"""What many tests need: a real broker, a home, and a whole running system. All of it safe to use in parallel."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess
from tests.running_system import RunningSystem

# Where the tests are started in the background, SIGINT is ignored, and so it would be in every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of this test alone; the environment points there and nowhere else."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    for name in ("RUNPLANE_URL", "RUNPLANE_TOKEN", "RUNPLANE_NATS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNPLANE_HOME", str(path))
    return path


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A real broker configured as `up` does it (fsync before every acknowledgement), of this test alone."""
    broker = BrokerProcess(tmp_path / "broker")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def system(home: Path) -> Iterator[RunningSystem]:
    """`runplane up` with everything ready; ended with its runs, and nothing may be left of it."""
    running = RunningSystem(home)
    try:
        running.start()
        yield running
    finally:
        running.end()
    assert running.leftovers() == []
