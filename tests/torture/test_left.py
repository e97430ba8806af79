"""The look at what is left finds what it is there to find: each kind of thing, left on purpose."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.process.cgroup import CgroupRoot
from tests.torture.left import left, namespace

LIMIT = 10.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run_0123456789ab").mkdir()
    assert left(tmp_path) == []
    yield tmp_path
    assert left(tmp_path) == []


@pytest.mark.parametrize("names", ["environment", "arguments", "title"])
def test_a_process(place: Path, names: str) -> None:
    environment = {"RUNPLANE_DIR": str(place)} if names == "environment" else {}
    argument = {"environment": "", "arguments": str(place), "title": "rp-shim run_0123456789ab.1"}[names]
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)", argument]
    process = subprocess.Popen(command, env=environment)
    try:
        until(lambda: left(place), "it is found")
        assert [line.startswith(f"process {process.pid}: ") for line in left(place)] == [True]
    finally:
        process.kill()
        process.wait()


def test_a_zombie(place: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    until(lambda: left(place), "it has ended")
    assert left(place)[0].startswith(f"zombie {child}: ")
    os.waitpid(child, 0)


def test_a_cgroup(place: Path) -> None:
    home = place / "h1" / "home" / "agent"
    home.mkdir(parents=True)
    (home / "lock").touch()
    root = CgroupRoot.find(namespace(home))
    if root is None:
        pytest.skip("no cgroup can be made here")
    group = root.create("run_0123456789ab.1")
    assert group is not None
    assert left(place) == [f"cgroup {root.path}"]
    group.remove()
    root.remove_unused()


def test_a_mount(place: Path) -> None:
    target = place / "a disk"
    target.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", target], check=False).returncode:
        pytest.skip("may not mount")
    try:
        assert left(place) == [f"mount {target}"]
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = place / "s"
        listener.bind(str(path))
    assert left(place) == [f"socket {path}"]
    path.unlink()
