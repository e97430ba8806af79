import os
import select
import signal
import subprocess
import sys

from runplane.cli import attached

WRAPPER = str(attached.__file__)
DEAF = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
PARENT = f"""
import os, subprocess, sys
wrapped = [sys.executable, "-I", "-S", {WRAPPER!r}, str(os.getpid()), sys.executable, "-S", "-c", {DEAF!r}]
subprocess.Popen(wrapped, start_new_session=True).wait()
"""


def test_the_command_dies_with_its_parent_even_if_it_ignores_sigterm() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))

        os.kill(parent.pid, signal.SIGKILL)

        ended, _, _ = select.select([descriptor], [], [], 10)
        os.close(descriptor)
    assert ended


def test_it_does_not_start_for_a_parent_that_is_gone_already() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", WRAPPER, "1" if os.getpid() != 1 else "2", "/bin/echo", "started"],
        capture_output=True, timeout=10, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, b"")


def test_it_becomes_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", WRAPPER, str(os.getpid()), "/bin/sh", "-c", "echo $0 $1; exit 7", "a", "b c"],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (7, "a b c\n")


def test_a_command_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", WRAPPER, str(os.getpid()), "/nonexistent"],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip

    assert done.returncode == 127
    assert "/nonexistent" in done.stderr
