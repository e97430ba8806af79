"""Fork straight into a cgroup: ``clone3`` with ``CLONE_INTO_CGROUP`` (Linux 5.7).

Why: moving a process into a cgroup after its fork makes the kernel wait for an RCU grace period, 10 to 30 ms for each
start; being born there costs nothing. Rules: for a process with one thread, whose child only prepares its exec: the
interpreter is not told of this fork. Standard library alone.
"""

import ctypes
import errno
import os
import signal

_SYS_CLONE3 = 435  # the same on every architecture
_CLONE_INTO_CGROUP = 0x2_0000_0000
_FIELDS = (
    "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
    "set_tid_size", "cgroup",
)  # fmt: skip
# The interpreter's lock stays held over the call: the child goes on with it.
_LIBC = ctypes.PyDLL(None, use_errno=True)


class _CloneArguments(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in _FIELDS)


def fork_into(cgroup: str) -> int | None:
    """Like ``os.fork``, the child being a member of ``cgroup``. ``None``: the kernel cannot do it, or not there."""
    try:
        directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    arguments = _CloneArguments(flags=_CLONE_INTO_CGROUP, exit_signal=signal.SIGCHLD, cgroup=directory)
    pid = int(_LIBC.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments))))
    if pid == 0:
        return 0
    number = ctypes.get_errno()
    os.close(directory)
    if pid > 0:
        return pid
    if number in (errno.EAGAIN, errno.ENOMEM):
        raise OSError(number, os.strerror(number))
    return None
