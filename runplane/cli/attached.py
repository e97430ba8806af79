"""Run a command that dies with the process that started it: ``python attached.py PARENT_PID COMMAND...``.

The parts of `up` are started through this. The kernel sends SIGKILL to the command when its parent dies, however
that happens. SIGKILL, not SIGTERM: the next `up` must be able to rely on the old parts being gone, a part that hangs
would not go by itself, and every part is built to survive being killed at any moment. An orderly end comes from `up`
itself, which sends SIGTERM first.

A parent that died before the kernel was asked leaves no signal behind; so it is looked for afterwards. Exec keeps the
setting and the pid. Standard library only, and run as a file, so that it costs a few milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
USAGE = 2
NO_SUCH_COMMAND = 127


def main(argv: list[str]) -> int:
    """Ask the kernel, look whether the parent still lives, become the command."""
    if len(argv) < 2 or not argv[0].isdigit():  # noqa: PLR2004 - a pid and a command
        sys.stderr.write("usage: attached.py PARENT_PID COMMAND [ARGUMENT...]\n")
        return USAGE
    parent, command = int(argv[0]), argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.stderr.write(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}\n")
        return 1
    if os.getppid() != parent:
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606 - an argv, never a shell
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        return NO_SUCH_COMMAND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
