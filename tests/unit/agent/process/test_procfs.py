import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.process import procfs
from agent.process.kernel import read_stat


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_descendants_by_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 & sh -c 'sleep 1000 & wait' & cat"], stdin=subprocess.PIPE
    ) as child:
        until(lambda: len(procfs.descendants(child.pid)) == 4)
        quickly = procfs.descendants(child.pid)
        monkeypatch.setattr(
            "agent.process.procfs._children", lambda _: pytest.fail("the other way was asked for")
        )
        monkeypatch.setattr("os.path.exists", lambda _: False)
        assert procfs.descendants(child.pid).keys() == quickly.keys()
        for pid in (*quickly, child.pid):
            os.kill(pid, 9)


def test_facts() -> None:
    argv = [sys.executable, "-S", "-c", "print(flush=True); input()", *(["x" * 100] * 100)]
    with subprocess.Popen(
        argv, env={"TAG": "a", "OTHER": "b"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = read_stat(child.pid)
        assert stat is not None
        facts = procfs.facts(stat)
        assert facts is not None
        assert facts.cmdline.startswith(f"{sys.executable} -S -c print")
        assert len(facts.cmdline) <= procfs.CMDLINE_BYTES
        assert (facts.pid, facts.ppid, facts.start_time) == (child.pid, os.getpid(), stat.start_time)
        assert facts.rss_bytes % os.sysconf("SC_PAGE_SIZE") == 0
        assert procfs.has_environment(child.pid, [b"TAG=a", b"OTHER=b"])
        assert not procfs.has_environment(child.pid, [b"TAG=a", b"OTHER=c"])
        assert not procfs.has_environment(child.pid, [b"TAG="])
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        zombie = read_stat(child.pid)
        assert zombie is not None
        assert procfs.facts(zombie) is None


def test_why_alive() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        until(lambda: (stat := read_stat(child.pid)) and stat.state == "S")
        assert procfs.why_alive(child.pid).startswith("state S (sleeping)")
        child.kill()
    assert procfs.why_alive(child.pid) == "gone meanwhile"
