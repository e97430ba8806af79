"""What real threads of real processes wait for, each for something else."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.watch import waits, work
from agent.watch.sockets import connections, unix_peers
from agent.watch.waits import ThreadWait

LIMIT = 20.0
SOCKETS = (
    "import socket, sys, os\n"
    "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
    "c = socket.create_connection(s.getsockname()); a, _ = s.accept()\n"
)

ASYNCIO = """
import asyncio
async def main():
    reader, _ = await asyncio.open_connection(*s.getsockname())
    READY
    await reader.read()
asyncio.run(main())
"""


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@contextmanager
def program(code: str, *arguments: str) -> Iterator[int]:
    """A Python program that has no standard input but a pipe that nobody writes to."""
    ready = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush()\n"
    code = f"{ready}{code}" if "READY" not in code else code.replace("READY", ready.strip())
    command = [sys.executable, "-S", "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def main_of(pid: int, *others: int) -> ThreadWait:
    return next(wait for wait in waits.look([pid, *others]) if wait.pid == pid and wait.is_main)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("sleep", "import time; time.sleep(600)"),
        ("lock", "import threading; a = threading.Lock(); a.acquire(); a.acquire()"),
        ("input", "input()"),
        ("input", "import os; os.read(0, 1)"),
        ("input", "import select; select.select([0], [], [])"),
        ("input", "import select; p = select.poll(); p.register(0); p.poll()"),
        ("reply", f"{SOCKETS}READY\nc.recv(1)"),
        ("reply", f"{SOCKETS}READY\nc.settimeout(600); c.recv(1)"),
        ("reply", f"{SOCKETS}import select\nREADY\nselect.select([c], [], [], 600)"),
        ("reply", SOCKETS + ASYNCIO),
        ("sleep", "import asyncio; asyncio.run(asyncio.sleep(600))"),
        ("accept", f"{SOCKETS}READY\ns.accept()"),
        ("pipe_full", "import os\nr, w = os.pipe()\nwhile True: os.write(w, bytes(4096))"),
        ("fifo", ""),
        ("file_lock", ""),
        ("child", "import subprocess; subprocess.run(['sleep', '600'])"),
        ("signal", "import signal; signal.pause()"),
        ("running", "while True: pass"),
    ],
)
def test_each_kind(tmp_path: Path, kind: str, code: str) -> None:
    if kind == "fifo":
        os.mkfifo(tmp_path / "f")
        code = f"open({str(tmp_path / 'f')!r})"
    if kind == "file_lock":
        hold = (tmp_path / "x.lock").open("w")
        fcntl.flock(hold, fcntl.LOCK_EX)
        code = f"import fcntl; f = open({str(tmp_path / 'x.lock')!r}); fcntl.flock(f, 2)"
    with program(code) as pid:
        until(lambda: main_of(pid).kind == kind, f"{main_of(pid)}")
        child = [wait.pid for wait in waits.look([pid]) if wait.pid != pid]
        assert child == []
        if kind == "child":
            end_children(pid)


def end_children(pid: int) -> None:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def test_a_connection_says_who_and_for_how_long() -> None:
    with program(f"{SOCKETS}a.send(b'x' * 100); c.recv(100)\nREADY\nc.recv(1)") as pid:
        until(lambda: main_of(pid).kind == "reply", f"{main_of(pid)}")
        until(lambda: (seen := main_of(pid).connection) and (seen.quiet_seconds or 0) > 0.05, "time passes")
        connection = main_of(pid).connection
        assert connection is not None
        assert connection.peer.startswith("127.0.0.1:")
        assert (connection.state, connection.bytes_received) == ("ESTABLISHED", 100)


def test_a_connection_that_nobody_accepts() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        code = f"import socket; socket.create_connection({full.getsockname()!r})"
        with program(code) as pid:
            until(lambda: main_of(pid).kind == "connect", f"{main_of(pid)}")


def test_a_pipe_from_a_child_is_no_input() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '600'], stdout=-1); p.stdout.read()"
    with program(code) as pid:
        until(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text().split(), "the child runs")
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        until(lambda: main_of(pid, child).kind == "pipe_read", f"{main_of(pid, child)}")
        os.kill(child, signal.SIGKILL)


def test_threads_and_stopped_processes() -> None:
    code = "import threading\nthreading.Thread(target=threading.Event().wait).start()\nREADY\ninput()"
    with program(code) as pid:
        until(lambda: {w.kind for w in waits.look([pid])} == {"input", "lock"}, f"{waits.look([pid])}")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: {w.kind for w in waits.look([pid])} == {"stopped"}, f"{waits.look([pid])}")
    assert waits.look([pid]) == []


def test_both_ends_of_a_unix_socket_are_known(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        client.connect(str(tmp_path / "s"))
        accepted, _ = listening.accept()
        with accepted:
            inode = os.fstat(client.fileno()).st_ino
            assert unix_peers(os.getpid())[inode] == (os.fstat(accepted.fileno()).st_ino, str(tmp_path / "s"))


def test_connections_of_either_family() -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listening:
            try:
                listening.bind((address, 0))
            except OSError:
                continue
            listening.listen()
            found = connections(os.getpid())[os.fstat(listening.fileno()).st_ino]
            assert (found.state, found.peer) == ("LISTEN", "")
            assert found.local.endswith(f":{listening.getsockname()[1]}")


def test_what_moves_is_seen_and_what_stands_is_not(tmp_path: Path) -> None:
    code = (
        "import sys\nf = open(sys.argv[1], 'wb', 0)\nREADY\n"
        "for line in sys.stdin: f.write(bytes(8192)); print('written', flush=True)"
    )
    command = [sys.executable, "-S", "-c", code.replace("READY", ""), str(tmp_path / "f")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def write() -> work.Moved:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            return work.look([process.pid], "/nowhere", 0)

        first, second = write(), write()
        assert second.since(first) == f"it works on {tmp_path / 'f'}"
        assert work.look([process.pid], "/nowhere", 0).since(second) == ""
        own = work.look([process.pid], str(tmp_path), 0).files
        assert not [path for _, path in own if path.startswith(str(tmp_path))]
        assert work.Moved({}, {}, 1 << 20).since(work.Moved({}, {}, 0)) == "it writes to the disk"
        process.stdin.close()
