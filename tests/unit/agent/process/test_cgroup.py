import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.process.cgroup import Cgroup, CgroupRoot

pytestmark = pytest.mark.anyio
LIMIT = 10.0


@pytest.fixture
def root() -> Iterator[CgroupRoot]:
    found = CgroupRoot.find(f"test-{os.getpid()}-{os.urandom(4).hex()}")
    if found is None:
        pytest.skip("no cgroup (version 2) hierarchy that may be written")
    yield found
    found.remove_unused()
    assert not found.path.exists()


@pytest.fixture
def group(root: CgroupRoot) -> Iterator[Cgroup]:
    group = root.create("run_000000000001.1")
    assert group is not None
    yield group
    group.kill()
    assert group.remove()


def sleeper(group: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(["sleep", "1000"])
    (group / "cgroup.procs").write_text(str(child.pid))
    return child


async def test_empty(group: Cgroup) -> None:
    assert group.members() == set()
    assert not group.is_populated()
    assert await group.wait_empty(0.0)


async def test_members_below_it_are_its_own_and_die_with_it(group: Cgroup) -> None:
    below = group.path / "a" / "b"
    below.mkdir(parents=True)
    with sleeper(group.path) as first, sleeper(below) as second:
        assert group.members() == {first.pid, second.pid}
        assert group.is_populated()
        assert not await group.wait_empty(0.05)
        assert not group.remove()
        waiting = asyncio.ensure_future(group.wait_empty(LIMIT))
        await asyncio.sleep(0)
        assert group.kill()
        assert await waiting
        assert (first.wait(), second.wait()) == (-9, -9)
    assert group.remove()
    assert not group.path.exists()


async def test_frozen_and_thawed(group: Cgroup) -> None:
    with sleeper(group.path):
        assert not group.is_frozen()
        assert group.freeze()
        assert group.is_frozen()
        assert group.thaw()
        assert not group.is_frozen()
        assert group.freeze()
        assert group.kill()
        assert await group.wait_empty(LIMIT)


async def test_one_that_does_not_exist_has_no_members(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "none")
    assert group.members() == set()
    assert not group.is_populated()
    assert await group.wait_empty(LIMIT)
    assert not group.kill()
    assert not group.freeze()
    assert group.remove()


def mountinfo(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_nothing_to_use(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    plain = tmp_path / "plain"
    plain.mkdir()
    for lines in (
        (),
        ("garbage", "", "1 2 3 - "),
        (f"1 2 0:1 / {plain} rw - cgroup cgroup rw",),
        (f"1 2 0:1 / {plain} ro - cgroup2 cgroup2 ro",),
        (f"1 2 0:1 / {plain} rw - cgroup2 cgroup2 rw",),  # an ordinary directory: it has no cgroup.kill
        (f"1 2 0:1 / {tmp_path}/none rw - cgroup2 cgroup2 rw",),
    ):
        assert CgroupRoot.find("n", mountinfo=mountinfo(tmp_path, *lines), own=own) is None
    assert CgroupRoot.find("n", mountinfo=tmp_path / "missing", own=tmp_path / "missing") is None
