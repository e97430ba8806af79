"""One `up` a home. The kernel drops the lock with the process, however that ends."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator

from runplane.cli.home import Home
from runplane.cli.problem import Exit, Problem
from runplane.cli.process import Identity, identify


@contextlib.contextmanager
def held(home: Home) -> Iterator[Identity]:
    """Hold the home's lock; a ``Problem`` names the process that has it already."""
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(home)
            raise Problem(
                f"a system already runs in {home.path}" + (f" (pid {other.pid})" if other else ""),
                hint="stop it with `runplane down`, or choose another home with --home",
                exit_code=Exit.CONFLICT,
                code="already_running",
            ) from None
        me = identify(os.getpid())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": me.pid, "start_time": me.start_time}).encode(), 0)
        yield me
    finally:
        os.close(descriptor)


def holder(home: Home) -> Identity | None:
    """The living `up` of this home, if there is one."""
    found = _read(home)
    return found if found is not None and found.is_alive() else None


def _read(home: Home) -> Identity | None:
    try:
        said = json.loads(home.lock_file.read_text())
        return Identity(pid=int(said["pid"]), start_time=int(said["start_time"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
