"""Who is a member when the shim is dead. With a live shim, see the integration tests."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.process.census import Census, environment_of
from agent.process.identity import ProcessIdentity, current_boot, identify
from agent.process.kernel import fork_count, pid_limit, read_stat
from agent.process.run_directory import ProcessRecord

RUN, ATTEMPT = f"run_{os.urandom(6).hex()}", 1


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def foreign() -> Iterator[int]:
    """A session of somebody else: its leader and a child, without our environment."""
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 & cat"], stdin=subprocess.PIPE, start_new_session=True
    ) as leader:
        until(lambda: sum(stat.session == leader.pid for stat in map(read_stat, pids()) if stat) == 3)
        yield leader.pid
        os.killpg(leader.pid, 9)


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def record(main: ProcessIdentity, directory: Path, *, forks: int | None = None) -> ProcessRecord:
    return ProcessRecord(
        run_id=RUN,
        attempt=ATTEMPT,
        directory=directory,
        main=main,
        shim=ProcessIdentity(boot_id=main.boot_id, pid=pid_limit() + 1, start_time=1),
        session_id=main.pid,
        cgroup=None,
        mechanism="subreaper",
        spawned_at="2026-01-31T12:00:00.000000Z",
        forks=fork_count() if forks is None else forks,
    )


def members(about: ProcessRecord) -> set[int]:
    return {facts.pid for facts in Census(about, None).members()}


def test_a_live_main_process_and_its_session(foreign: int, tmp_path: Path) -> None:
    main = identify(foreign)
    assert main is not None
    assert len(members(record(main, tmp_path))) == 3


def test_a_pid_that_was_given_out_again_is_not_ours(foreign: int, tmp_path: Path) -> None:
    stat = read_stat(foreign)
    assert stat is not None
    earlier = ProcessIdentity(boot_id=current_boot(), pid=foreign, start_time=stat.start_time - 1)
    assert members(record(earlier, tmp_path)) == set()


def test_another_boot_has_no_members(foreign: int, tmp_path: Path) -> None:
    main = identify(foreign)
    assert main is not None
    other = ProcessIdentity(boot_id="00000000", pid=main.pid, start_time=main.start_time)
    assert members(record(other, tmp_path)) == set()


def test_the_session_of_a_main_process_that_is_gone(tmp_path: Path) -> None:
    leader = subprocess.Popen(
        ["sh", "-c", "sleep 1000 & read x"], stdin=subprocess.PIPE, start_new_session=True
    )
    main = identify(leader.pid)
    assert main is not None
    until(lambda: len(members(record(main, tmp_path))) == 2)
    leader.communicate(b"\n")
    (orphan,) = members(record(main, tmp_path))
    assert members(record(main, tmp_path, forks=fork_count() - pid_limit())) == set(), (
        "the number may be another's"
    )
    os.kill(orphan, 9)


def test_the_environment_names_the_attempt_with_its_directory(tmp_path: Path) -> None:
    gone = ProcessIdentity(boot_id=current_boot(), pid=pid_limit() + 2, start_time=0)
    env = environment_of(RUN, ATTEMPT, tmp_path)
    with subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True) as child:
        until(lambda: members(record(gone, tmp_path)) == {child.pid})
        assert members(record(gone, tmp_path / "elsewhere")) == set()
        child.kill()
        child.wait()
        assert members(record(gone, tmp_path)) == set()
