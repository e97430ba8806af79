"""Programs that try to outlive their ending, each in its own way. ``{token}`` marks every process of the tree.

A shape prints ``ready`` when its tree stands. The token is in the argv of all that it starts, so that what is left can
be found although a process has cleared its environment, closed its descriptors and taken another parent and session.
"""

import sys
from dataclasses import dataclass

_SLEEP = "os.execve('/bin/sleep', ['sleep', '{token}'], {env})"
_PYTHON = (sys.executable, "-S", "-u", "-c")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``processes``: how many there are at least when it is ready."""

    name: str
    program: str
    processes: int = 1

    def argv(self, token: str) -> tuple[str, ...]:
        return (*_PYTHON, self.program.replace("{token}", token), token)


def _sleep(environment: str = "os.environ") -> str:
    return _SLEEP.replace("{env}", environment)


_BEGIN = "import os, signal, sys, time\n"
_READY = "print('ready')\ntime.sleep(1000)\n"
_IGNORING = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
_DAEMON = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir('/')
        os.closerange(0, 64)
        {_sleep("{}")}
    os._exit(0)
os.wait()
"""
_RESPAWNING = """
def guard(other):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        try:
            os.kill(other, 0)
        except ProcessLookupError:
            parent, child = os.getpid(), os.fork()
            other = child or parent
            if child == 0:
                os.setsid()
        time.sleep(0.0005)
main = os.getpid()
child = os.fork()
if child == 0:
    os.setsid()
    guard(main)
print('ready')
guard(child)
"""
_FORKING = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print('ready')
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.05)
        if os.fork():
            os._exit(0)
        time.sleep(0.2)
        os._exit(0)
    time.sleep(0.002)
"""
_TRACED = """
import ctypes
child = os.fork()
if child == 0:
    {sleep}
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
while b'sleep' not in open(f'/proc/{child}/cmdline', 'rb').read():
    pass
assert libc.ptrace(0x4206, child, 0, 0) == 0, ctypes.get_errno()
""".replace("{sleep}", _sleep())

_DISGUISED = """
import ctypes
child = os.fork()
if child == 0:
    os.setsid()
    ctypes.CDLL(None).prctl(15, b'kworker/0:1) R (', 0, 0, 0)
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    signal.pause()
"""
_ESCAPED = """
child = os.fork()
if child == 0:
    os.setsid()
    for line in open('/proc/self/mountinfo'):
        left, _, right = line.partition(' - ')
        if right.startswith('cgroup'):
            try:
                open(left.split()[4] + '/cgroup.procs', 'w').write(str(os.getpid()))
            except OSError:
                pass
    {sleep}
while b'sleep' not in open(f'/proc/{child}/cmdline', 'rb').read():
    pass
""".replace("{sleep}", _sleep("{}"))
_NAMESPACE = """
import ctypes
libc = ctypes.CDLL(None)
if libc.unshare(0x30000000) and libc.unshare(0x20000000):
    print('user and pid namespaces are not to be had')
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        {sleep}
    {sleep}
""".replace("{sleep}", _sleep("{}"))
_HOLDING = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while True:
            time.sleep(0.05)
            os.write(1, b'still here\\n')
    os._exit(0)
os.wait()
"""

SHAPES = (
    Shape(name="it obeys", program=_BEGIN + _READY),
    Shape(name="it ignores SIGTERM", program=_BEGIN + _IGNORING + _READY),
    Shape(
        name="children and grandchildren",
        program=_BEGIN
        + f"for _ in range(4):\n  if os.fork() == 0:\n    os.fork()\n    {_sleep()}\n"
        + _READY,
        processes=5,
    ),
    Shape(
        name="a child with a session of its own",
        program=_BEGIN + f"if os.fork() == 0:\n  os.setsid()\n  {_sleep()}\n" + _READY,
        processes=2,
    ),
    Shape(name="a daemon, its environment cleared", program=_BEGIN + _DAEMON + _READY, processes=2),
    Shape(
        name="a daemon, and main has ended",
        program=_BEGIN + _DAEMON + "print('ready')\nsys.exit(0)\n",
        processes=1,
    ),
    Shape(
        name="all of it stopped",
        program=_BEGIN
        + f"child = os.fork()\nif child == 0:\n  {_sleep()}\nprint('ready')\n"
        + "os.kill(child, signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGSTOP)\n"
        + _READY,
        processes=2,
    ),
    Shape(name="a child that is traced", program=_BEGIN + _TRACED + _READY, processes=2),
    Shape(name="two that start each other again", program=_BEGIN + _RESPAWNING, processes=2),
    Shape(name="a child under another name and user", program=_BEGIN + _DISGUISED + _READY, processes=2),
    Shape(name="a child that left its cgroups", program=_BEGIN + _ESCAPED + _READY, processes=2),
    Shape(name="user and pid namespaces of its own", program=_BEGIN + _NAMESPACE + _READY, processes=3),
    Shape(name="a daemon that keeps writing to its output", program=_BEGIN + _HOLDING + _READY, processes=2),
    Shape(name="it keeps forking", program=_BEGIN + _FORKING, processes=3),
)
