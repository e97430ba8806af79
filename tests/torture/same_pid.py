"""Another process under a pid of one's choice, as when the kernel has given a number out again.

``clone3`` with ``set_tid`` (Linux 5.5) needs a free pid, and the right to choose (CAP_CHECKPOINT_RESTORE; root has it).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.process.identity import ProcessIdentity, identify, is_alive

LIMIT = 20.0
_NO_RIGHT = 77
_TAKEN = 17
_PROGRAM = """
import ctypes, os, sys
fields = "flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup".split()
class Arguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in fields]
libc = ctypes.PyDLL(None, use_errno=True)
wanted = (ctypes.c_int * 1)(int(sys.argv[1]))
arguments = Arguments(exit_signal=17, set_tid=ctypes.addressof(wanted), set_tid_size=1)
pid = libc.syscall(435, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments)))
if pid == 0:
    os.setsid()
    os.execv("/bin/sh", ["sh", "-c", "sleep 600 & wait"])
if pid < 0:
    sys.exit({1: 77, 17: 17}.get(ctypes.get_errno(), 1))
"""


@contextmanager
def process_with_pid(pid: int) -> Iterator[ProcessIdentity]:
    """A shell with a child of its own, neither of them anybody's business; ended afterwards."""
    deadline = time.monotonic() + LIMIT
    while True:
        done = subprocess.run([sys.executable, "-S", "-c", _PROGRAM, str(pid)], env={}, check=False)
        if done.returncode == _NO_RIGHT:
            pytest.skip("may not choose the pid of a process here")
        if done.returncode == 0:
            break
        assert done.returncode == _TAKEN, f"clone3 failed: {done}"
        assert time.monotonic() < deadline, f"{pid} is not free"
        time.sleep(0.01)
    identity = identify(pid)
    assert identity is not None
    try:
        yield identity
    finally:
        if is_alive(identity):
            os.killpg(pid, signal.SIGKILL)
        while is_alive(identity):
            assert time.monotonic() < deadline + LIMIT, f"{pid} does not end"
            time.sleep(0.005)
