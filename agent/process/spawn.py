"""Fork and exec of an attempt's main process, in two steps so that its identity is on disk before it runs.

Rules: the child waits, with nothing of the workflow executed, until it is released; if its shim dies first it ends
by itself. After the release it becomes the workflow's program or reports errno and where. Standard library alone.
"""

import json
import os
import signal
from typing import Any

from agent.process.clone import fork_into
from agent.process.kernel import read_head

LAUNCH_FAILED = 127
_KEPT_BY_LIBC = frozenset({32, 33})
_UMASK = 0o022
_FIRST_FREE = 3


class HeldChild:
    """The forked child before its exec. Call ``release`` once, or ``drop``."""

    def __init__(self, pid: int, go: int, outcome: int, *, in_cgroup: bool) -> None:
        """Keep the pid and our ends of the two pipes. ``in_cgroup``: it was born in the cgroup of the spec."""
        self.pid = pid
        self.in_cgroup = in_cgroup
        self._go = go
        self._outcome = outcome

    def release(self) -> dict[str, Any] | None:
        """Let it exec. ``None`` when the program runs, else ``{errno, where}``."""
        os.write(self._go, b"g")
        os.close(self._go)
        report = b""
        while chunk := os.read(self._outcome, 4096):
            report += chunk
        os.close(self._outcome)
        return json.loads(report) if report else None

    def drop(self) -> None:
        """Let it end without having run anything, and take its status."""
        os.close(self._go)
        os.close(self._outcome)
        os.waitpid(self.pid, 0)


def fork_held(spec: dict[str, Any], stdin: int, stdout: int, stderr: int) -> HeldChild:
    """Fork a child that will run ``spec`` (``argv cwd env cgroup``) on the three descriptors; raises OSError."""
    # The strings are made before the fork: what may fail must not fail in the child.
    argv = [os.fsencode(argument) for argument in spec["argv"]]
    env = {os.fsencode(name): os.fsencode(value) for name, value in spec["env"].items()}
    cwd = os.fsencode(spec["cwd"])
    go_read, go_write = os.pipe()
    outcome_read, outcome_write = os.pipe()
    cgroup = spec.get("cgroup")
    try:
        born_there = fork_into(cgroup) if cgroup is not None else None
        pid = os.fork() if born_there is None else born_there
    except OSError:
        for descriptor in (go_read, go_write, outcome_read, outcome_write):
            os.close(descriptor)
        raise
    if pid == 0:
        try:
            os.close(go_write)
            _become(argv, env, cwd, stdio=(stdin, stdout, stderr), go=go_read, outcome=outcome_write)
        finally:
            os._exit(LAUNCH_FAILED)
    os.close(go_read)
    os.close(outcome_write)
    return HeldChild(pid, go_write, outcome_read, in_cgroup=born_there is not None)


def _become(
    argv: list[bytes],
    env: dict[bytes, bytes],
    cwd: bytes,
    *,
    stdio: tuple[int, int, int],
    go: int,
    outcome: int,
) -> None:
    where = "session"
    try:
        os.setsid()
        if not os.read(go, 1):
            os._exit(0)
        where = "stdio"
        for number, descriptor in enumerate(stdio):
            os.dup2(descriptor, number, inheritable=True)
        _close_all_but(outcome)
        where = "signals"
        for number in _ignored():
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(_UMASK)
        where = "cwd"
        os.chdir(cwd)
        where = "exec"
        os.execvpe(argv[0], argv, env)  # noqa: S606 - an argv, never a shell
    except OSError as error:
        report = {"errno": error.errno, "where": where}
        os.write(outcome, json.dumps(report).encode())


def _ignored() -> list[int]:
    """Signals that are ignored now, whoever asked for it; an exec resets handlers, but not these.

    The two that the C library keeps for itself cannot be set by anyone, though some parents hand them down ignored.
    """
    status = read_head("/proc/self/status")
    mask = int(status[status.index(b"SigIgn:") + 7 :].split(None, 1)[0], 16)
    return [
        number
        for number in range(1, mask.bit_length() + 1)
        if mask >> (number - 1) & 1 and number not in _KEPT_BY_LIBC
    ]


def _close_all_but(kept: int) -> None:
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(_FIRST_FREE, kept)
    os.closerange(kept + 1, max(limit, kept + 2))
