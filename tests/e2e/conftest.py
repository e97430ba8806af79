"""A whole system that the tests of one module share: every test has runs of its own, and starting it takes longest."""

from collections.abc import Iterator

import pytest

from tests.running_system import RunningSystem


@pytest.fixture(scope="module")
def system_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    home = tmp_path_factory.mktemp("shared") / "home"
    home.mkdir(mode=0o700)
    running = RunningSystem(home)
    try:
        running.start()
        yield running
    finally:
        running.end()
    assert running.leftovers() == []
