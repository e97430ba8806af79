import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.process.identity import (
    ProcessIdentity,
    current_boot,
    identify,
    is_alive,
    open_pidfd,
    send_signal,
    wait_status_of,
)
from agent.process.kernel import pid_limit


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as child:
        yield child
        child.kill()


def of(child: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = identify(child.pid)
    assert identity is not None
    return identity


def test_a_live_process(child: subprocess.Popen[bytes]) -> None:
    identity = of(child)
    assert identity.boot_id == current_boot()
    assert is_alive(identity)


def test_the_same_pid_with_another_start_is_another_process(child: subprocess.Popen[bytes]) -> None:
    other = replace(of(child), start_time=of(child).start_time - 1)
    assert not is_alive(other)
    assert open_pidfd(other) is None
    assert child.poll() is None


def test_another_boot(child: subprocess.Popen[bytes]) -> None:
    other = replace(of(child), boot_id="00000000-0000-0000-0000-000000000000")
    assert not is_alive(other)
    assert open_pidfd(other) is None


def test_nobody() -> None:
    assert identify(pid_limit() + 1) is None
    assert open_pidfd(ProcessIdentity(boot_id=current_boot(), pid=pid_limit() + 1, start_time=1)) is None


def test_a_signal_reaches_it_and_after_its_end_nobody(child: subprocess.Popen[bytes]) -> None:
    identity = of(child)
    pidfd = open_pidfd(identity)
    assert pidfd is not None
    try:
        assert wait_status_of(pidfd) is None
        assert send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        assert identify(child.pid) == identity, "a zombie has its identity still"
        assert not is_alive(identity)
        child.wait()
        assert not send_signal(pidfd, signal.SIGKILL)
        assert wait_status_of(pidfd) in (None, signal.SIGKILL), "kernels before 6.15 do not tell"
    finally:
        os.close(pidfd)
