"""What real processes hold is seen, and of what they leave only that is removed which nobody else has or had before."""

import ctypes
import math
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from agent.process import holdings, remains
from agent.process.holdings import Holdings
from agent.process.records import Remains

Started = subprocess.Popen[bytes]

HOLDER = """
import ctypes, mmap, os, socket, sys
place, segment = sys.argv[1:]
a = socket.socket(); a.bind(("127.0.0.1", 0)); a.listen()
b = socket.create_connection(a.getsockname())
c = socket.socket(socket.AF_UNIX); c.bind(place + "/with space.sock"); c.listen()
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); os.chdir(place); d.bind("datagrams.sock")
e = socket.socket(socket.AF_UNIX); e.bind(chr(0) + place)
for name, closes in (("/dev/shm/" + segment + ".open", False), ("/dev/shm/" + segment + ".mapped", True)):
    f = os.open(name, os.O_RDWR | os.O_CREAT); os.ftruncate(f, 8192)
    m = mmap.mmap(f, 8192); m[:] = bytes(8192); globals()[name] = m
    if closes: os.close(f)
libc = ctypes.CDLL(None)
number = libc.shmget(0, ctypes.c_size_t(4096), 0o1600)
libc.shmat.restype = ctypes.c_void_p
libc.shmat(number, None, 0)
print(a.getsockname()[1], number, flush=True)
input()
"""


@pytest.fixture
def segment() -> Iterator[str]:
    name = f"runplane-test-{uuid.uuid4().hex[:12]}"
    yield name
    for file in Path("/dev/shm").glob(f"{name}*"):
        file.unlink()


@contextmanager
def started(*arguments: str) -> Iterator[tuple[Started, list[int]]]:
    command = [sys.executable, "-S", "-c", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, [int(number) for number in process.stdout.readline().split()]
        finally:
            process.kill()


def seen(process: Started, since: float, files: int = 1000) -> Holdings:
    return holdings.look([process.pid], since=since, files=files, seconds=10)


def system_v() -> set[int]:
    return {int(line.split()[1]) for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def removed(held: Holdings, process: Started, since: float) -> Remains:
    return remains.remove(held, {process.pid}, since)


def test_what_is_held_and_then_left(tmp_path: Path, segment: str) -> None:
    since = time.time() - 1
    with started(HOLDER, str(tmp_path), segment) as (process, (port, number)):
        held = seen(process, since)
        assert held.listening_ports == (port,)
        assert {file.path for file in held.sockets} == {
            f"{tmp_path}/with space.sock",
            f"{tmp_path}/datagrams.sock",
        }
        assert {file.path for file in held.segments} == {
            f"/dev/shm/{segment}.open",
            f"/dev/shm/{segment}.mapped",
        }
        assert seen(process, since, files=0) == Holdings(open_files=held.open_files)
        assert removed(held, process, since) == Remains(), "it lives, and all of it is in use"
        process.kill()
        process.wait()
        assert number in system_v()
        assert removed(held, process, since) == Remains(sockets=2, segments=3, segment_bytes=16384)
        assert removed(held, process, since) == Remains()
    assert list(tmp_path.iterdir()) == []
    assert number not in system_v()
    assert seen(process, since) == Holdings()


def test_what_was_there_before_stays(tmp_path: Path, segment: str) -> None:
    for name in ("open", "mapped"):
        Path(f"/dev/shm/{segment}.{name}").touch()
    since = time.time() + 0.05
    while time.time() < since:
        time.sleep(0.01)
    with started(HOLDER, str(tmp_path), segment) as (process, (_, number)):
        held = seen(process, since)
        assert len(held.segments) == 2, "they were changed since, so they are looked at"
        process.kill()
        process.wait()
        assert removed(held, process, math.inf) == Remains(sockets=2)
        assert number in system_v()
        assert removed(held, process, since).segments == 1, "the one of System V"
    assert len(list(Path("/dev/shm").glob(f"{segment}*"))) == 2


def use_socket(tmp_path: Path, _: str) -> socket.socket:
    """Another process took over the listening socket's path."""
    (tmp_path / "with space.sock").unlink()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{tmp_path}/with space.sock")
    listening.listen()
    return listening


def use_segment(_: Path, segment: str) -> SharedMemory:
    """Somebody else has it mapped."""
    memory = SharedMemory(f"{segment}.open")
    resource_tracker.unregister(f"/{segment}.open", "shared_memory")
    return memory


def put_another_there(_: Path, segment: str) -> None:
    """The file of this name is another one now."""
    file = Path(f"/dev/shm/{segment}.open")
    file.rename(f"{file}.before")
    file.write_text("somebody else's")


@pytest.mark.parametrize(
    ("use", "left"),
    [
        (use_socket, Remains(sockets=1, segments=3, segment_bytes=16384)),
        (use_segment, Remains(sockets=2, segments=2, segment_bytes=8192)),
        (put_another_there, Remains(sockets=2, segments=2, segment_bytes=8192)),
    ],
)
def test_what_somebody_else_uses_stays(
    tmp_path: Path, segment: str, use: Callable[[Path, str], object], left: Remains
) -> None:
    since = time.time() - 1
    with started(HOLDER, str(tmp_path), segment) as (process, _):
        held = seen(process, since)
        other = use(tmp_path, segment)
        process.kill()
        process.wait()
        got = removed(held, process, since)
        assert (got.sockets, got.segments) == (left.sockets, left.segments)
        if isinstance(other, socket.socket | SharedMemory):
            other.close()


def test_system_v_memory_that_another_has_attached_stays(tmp_path: Path, segment: str) -> None:
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    since = time.time() - 1
    with started(HOLDER, str(tmp_path), segment) as (process, (_, number)):
        place = libc.shmat(number, None, 0)
        process.kill()
        process.wait()
        assert removed(Holdings(), process, since) == Remains()
        libc.shmdt(ctypes.c_void_p(place))
        assert remains.remove(Holdings(), {os.getpid()}, since) == Remains(), "another made it"
        assert removed(Holdings(), process, since).segments == 1
    assert number not in system_v()
