"""Real processes, real signals: every way in which a tree tries to outlive its ending, under every mechanism.

After every test nothing may be left: no process of the attempt, no shim, no zombie, no cgroup, no descriptor.
"""

import asyncio
import contextlib
import ctypes
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from agent.process.errors import LaunchError
from agent.process.identity import identify, is_alive
from agent.process.kernel import read_head, read_stat
from agent.process.launcher import Launcher, LaunchRequest
from agent.process.procfs import pids
from agent.process.records import Mechanism, Remains
from agent.process.tree import AttemptProcess
from agent.process.zygote import SPARES

pytestmark = pytest.mark.anyio

LIMIT = 20.0
ROOT = Path(__file__).parents[2]
PYTHON = sys.executable


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what another process is about to do."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        await asyncio.sleep(0.005)


class Bench:
    """Launches attempts in a home of its own, and finds whatever is left of them."""

    def __init__(self, home: Path, mechanism: Mechanism) -> None:
        self.home = home
        self.mechanism: Mechanism = mechanism
        self.launcher = Launcher(home, mechanism)
        self.attempts: list[AttemptProcess] = []
        self.past: list[AttemptProcess] = []
        self._numbers = itertools.count(1)
        self._series = os.urandom(4).hex()

    def request(self, *argv: str, cwd: str | None = None, **env: str) -> LaunchRequest:
        run_id = f"run_{self._series}{next(self._numbers):04x}"
        return LaunchRequest(
            run_id=run_id,
            attempt=1,
            directory=self.home / "runs" / run_id / "1",
            argv=argv,
            cwd=cwd or str(self.home),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **env},
        )

    async def launch(self, *argv: str, **env: str) -> AttemptProcess:
        return self.keep(await self.launcher.launch(self.request(*argv, **env)))

    async def python(self, program: str) -> AttemptProcess:
        """Run a program that prints `ready` when it is."""
        process = await self.launch(PYTHON, "-S", "-u", "-c", program)
        await until(
            lambda: b"ready" in (process.directory / "stdout.log").read_bytes(), "the program is ready"
        )
        return process

    def keep(self, process: AttemptProcess) -> AttemptProcess:
        self.attempts.append(process)
        return process

    async def replace_agent(self) -> None:
        """What a killed agent leaves behind: its sockets are closed, and nobody said goodbye."""
        for process in self.attempts:
            process.close()
        self.past += self.attempts
        self.attempts.clear()
        zygote = self.launcher.zygote_pid
        if zygote is not None:
            os.kill(zygote, signal.SIGKILL)
        await self.launcher.close()
        self.launcher = Launcher(self.home, self.mechanism)
        await self.launcher.start()

    def left(self) -> list[str]:
        """Every process, zombies too, that carries the home in its environment or title, or was a member."""
        mine = str(self.home).encode()
        known = {of.pid: of.start_time for p in (*self.attempts, *self.past) for of in (p.main, p.shim)}
        found = []
        for pid in pids():
            stat = read_stat(pid)
            if stat is None or pid == os.getpid():
                continue
            if stat.state == "Z" and stat.ppid == 1:
                continue  # its parent was killed by the test, and init takes its time
            title = read_head(f"/proc/{pid}/cmdline")
            marked = (
                mine in read_head(f"/proc/{pid}/environ", 1 << 16) or f"run_{self._series}".encode() in title
            )
            if marked or known.get(pid) == stat.start_time:
                found.append(f"{pid} {stat.state} {stat.name} {title!r}")
        return found


def descriptors() -> list[str]:
    """What this process holds open, without the numbers that change."""
    links = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(link.readlink()))
    return sorted(link.split(":")[0] for link in links)


@pytest.fixture(params=get_args(Mechanism))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    before = descriptors()
    bench = Bench(tmp_path, request.param)
    try:
        await bench.launcher.start()
    except LaunchError as error:
        pytest.skip(error.message)
    yield bench
    for process in bench.attempts:
        await process.terminate(signal=signal.SIGKILL, grace_seconds=0, force=True)
        process.close()
    await bench.launcher.close()
    bench.past += bench.attempts
    await until(lambda: not bench.left(), f"nothing is left: {bench.left()}")
    groups = [process.cgroup for process in bench.past if process.cgroup is not None]
    assert [group for group in groups if group.exists()] == []
    await asyncio.sleep(0)
    assert descriptors() == before


async def assert_over(bench: Bench, process: AttemptProcess) -> None:
    assert process.members() == []
    assert process.gone.is_set()
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    await until(lambda: not bench.left(), f"nothing is left: {bench.left()}")


# --- ending by itself ------------------------------------------------------------------------------------------------


async def test_exit_code_output_and_record(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "echo out; echo err >&2; exit 3")
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert record is not None
    assert (record.code, record.signal, str(record)) == (3, None, "exit 3")
    assert record.rusage is not None
    assert record.rusage.max_rss_bytes > 0
    assert (process.directory / "stdout.log").read_bytes() == b"out\n"
    assert (process.directory / "stderr.log").read_bytes() == b"err\n"
    assert process.mechanism == bench.mechanism
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    await assert_over(bench, process)


async def test_end_by_a_signal_is_named(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "kill -SEGV $$")
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert record is not None
    assert (record.code, record.signal) == (None, "SIGSEGV")


async def test_a_program_starts_with_a_clean_slate(bench: Bench) -> None:
    program = (
        "import os,signal;"
        "print(os.getsid(0)==os.getpid(), sorted(map(int,os.listdir('/proc/self/fd')))[:-1],"
        "[s for s in signal.valid_signals() if s not in (9,19,13,25) and signal.getsignal(s)==signal.SIG_IGN],"
        "signal.pthread_sigmask(0,[]), oct(os.umask(0)), os.environ['RUNPLANE_ATTEMPT'])"
    )
    process = await bench.launch(PYTHON, "-S", "-c", program)
    await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert (process.directory / "stdout.log").read_text() == "True [0, 1, 2] [] set() 0o22 1\n"
    assert (process.directory / "stderr.log").read_text() == ""


async def test_main_exits_while_its_child_lives(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 1000 & exit 0")
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert record is not None
    assert record.code == 0
    await until(
        lambda: [f.cmdline for f in process.leftovers()] == ["sleep 1000"], "the child is the only one left"
    )
    assert not process.gone.is_set()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert [(end.cmdline, end.exit) for end in ended.processes] == [("sleep 1000", "SIGKILL")]
    assert ended.exit == process.exit
    assert str(ended.exit) == "exit 0"
    await assert_over(bench, process)


async def test_wait_gone_waits_for_leftovers(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 0.3 & exit 0")
    await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert process.leftovers()
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    await assert_over(bench, process)


async def test_end_before_the_signal_is_told_as_it_was(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "exit 7")
    await until(lambda: not is_alive(process.main), "it has ended")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert ended.signals == ()
    assert str(ended.exit) == "exit 7"
    assert not ended.asked


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", path], check=False).returncode:
        pytest.skip("may not mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)


async def test_a_full_disk_does_not_lose_the_ending(bench: Bench) -> None:
    with small_disk(bench.home / "runs") as disk:
        process = await bench.launch("sh", "-c", "read wait; sleep 1000 & exit 3")
        fill(disk)
        await process.close_stdin()
        assert str(await asyncio.wait_for(process.wait_exit(), LIMIT)) == "exit 3"
        record = process.directory / "exit.json"  # written beside the telling
        await until(lambda: record.exists() and '"code": 3' in record.read_text(), "the ending is on disk")
        ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
        assert ended.verified
        await until(lambda: not is_alive(process.shim), "the shim has ended")
        assert '"empty_at"' in (process.directory / "exit.json").read_text()
        with pytest.raises(LaunchError) as caught:
            await bench.launch("sleep", "1000")
        assert caught.value.kind == "no_resources"


async def test_a_removed_directory_keeps_no_shim(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    shutil.rmtree(process.directory)
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert str(ended.exit) == "SIGTERM"
    await until(lambda: not is_alive(process.shim), "the shim has ended")


# --- being ended -----------------------------------------------------------------------------------------------------


async def test_the_receipt_of_a_graceful_end(bench: Bench) -> None:
    process = await bench.python(
        "import signal,sys,time,socket\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); print(f'ready {s.getsockname()[1]}')\n"
        "while True: time.sleep(1000)"
    )
    port = int((process.directory / "stdout.log").read_text().split()[1])
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=False)
    assert ended.verified
    assert ended.method == "graceful"
    assert [(sent.signal, sent.pid) for sent in ended.signals] == [("SIGTERM", process.main.pid)]
    (end,) = ended.processes
    assert (end.pid, end.start_time, end.exit) == (process.main.pid, process.main.start_time, "exit 0")
    assert end.rss_bytes > 1 << 20
    assert ended.freed_rss_bytes == end.rss_bytes
    assert ended.freed_open_files >= 4
    assert ended.listening_ports == (port,)
    assert ended.survivors == ()
    assert ended.verified_by == (
        ("subreaper",) if bench.mechanism == "subreaper" else ("cgroup", "subreaper")
    )
    assert ended.started_at < ended.ended_at
    assert ended.duration_ms < LIMIT * 1000
    await assert_over(bench, process)


LEAVER = """
import mmap, os, socket, sys
if os.fork():
    os.waitpid(-1, 0)
os.setsid()
s = socket.socket(socket.AF_UNIX); s.bind("left.sock"); s.listen()
f = os.open("/dev/shm/" + sys.argv[1], os.O_RDWR | os.O_CREAT); os.ftruncate(f, 4096)
m = mmap.mmap(f, 4096); m[:1] = b"x"; os.close(f)
print("ready", flush=True)
s.accept()
"""


@pytest.mark.parametrize("force", [False, True])
async def test_what_a_tree_leaves_is_removed_and_counted(bench: Bench, force: bool) -> None:
    segment = f"runplane-test-{os.urandom(6).hex()}"
    process = await bench.launch(PYTHON, "-S", "-c", LEAVER, segment)
    await until(lambda: b"ready" in (process.directory / "stdout.log").read_bytes(), "all is there")
    socket_file, memory = bench.home / "left.sock", Path("/dev/shm") / segment
    assert socket_file.is_socket()
    assert memory.exists()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=force)
    assert ended.remains == Remains(sockets=1, segments=1, segment_bytes=4096)
    assert not socket_file.exists()
    assert not memory.exists()
    await assert_over(bench, process)


MAKER = """
import ctypes, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("kept.sock")
open("/dev/shm/" + sys.argv[1], "w").write("for whoever comes next")
print(ctypes.CDLL(None).shmget(0, ctypes.c_size_t(4096), 0o1600), flush=True)
"""


async def test_a_run_that_ends_by_itself_keeps_what_it_made(bench: Bench) -> None:
    segment = f"runplane-test-{os.urandom(6).hex()}"
    process = await bench.launch(PYTHON, "-S", "-c", MAKER, segment)
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.remains == Remains()
    number = (process.directory / "stdout.log").read_text().strip()
    memory = Path("/dev/shm") / segment
    try:
        assert memory.exists()
        assert (bench.home / "kept.sock").is_socket()
        assert number in {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}
    finally:
        memory.unlink()
        ctypes.CDLL(None).shmctl(int(number), 0, None)


async def test_leftovers_of_a_natural_end_may_be_ended_without_removing_anything(bench: Bench) -> None:
    segment = f"runplane-test-{os.urandom(6).hex()}"
    process = await bench.launch(PYTHON, "-S", "-c", LEAVER, segment)
    memory = Path("/dev/shm") / segment
    await until(lambda: b"ready" in (process.directory / "stdout.log").read_bytes(), "all is there")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True, keep_remains=True)
    assert ended.verified
    assert ended.remains == Remains()
    assert memory.exists()
    memory.unlink()
    await assert_over(bench, process)


async def test_sigterm_ignored_is_killed_after_the_grace(bench: Bench) -> None:
    process = await bench.python(
        "import signal,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(1000)"
    )
    began = time.monotonic()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0.3, force=False)
    assert 0.3 <= time.monotonic() - began < LIMIT
    assert ended.verified
    assert ended.signals[0].signal == "SIGTERM"
    assert ended.signals[-1].signal == "SIGKILL"
    assert str(ended.exit) == "SIGKILL"
    await assert_over(bench, process)


@pytest.mark.parametrize("by", ["escalate", "force"])
async def test_a_second_order_cuts_the_grace_short(bench: Bench, by: str) -> None:
    process = await bench.python(
        "import signal,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(1000)"
    )
    escalate = asyncio.Event()
    began = time.monotonic()
    first = asyncio.ensure_future(
        process.terminate(signal=signal.SIGTERM, grace_seconds=1000, force=False, escalate=escalate)
    )
    await asyncio.sleep(0.05)
    if by == "escalate":
        escalate.set()
    else:
        second = await process.terminate(signal=signal.SIGTERM, grace_seconds=1000, force=True)
        assert second.verified
    assert (await first).verified
    assert time.monotonic() - began < LIMIT
    await assert_over(bench, process)


@pytest.mark.parametrize("force", [False, True])
async def test_an_agent_that_comes_later_knows_who_ended_it(bench: Bench, force: bool) -> None:
    """The first agent dies when it has ended the tree and told nobody; an end that it only saw stays what it was."""
    killed, ended = await bench.launch("sleep", "1000"), await bench.launch("sh", "-c", "exit 7")
    await killed.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=force)
    await asyncio.wait_for(ended.wait_exit(), LIMIT)
    await bench.replace_agent()
    for process, asked in ((killed, True), (ended, False)):
        adopted = await bench.launcher.adopt(process.directory)
        assert adopted is not None
        bench.keep(adopted)
        again = await adopted.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=force)
        assert (again.verified, again.signals, again.asked) == (True, (), asked)


async def test_closing_standard_input_may_be_enough(bench: Bench) -> None:
    process = await bench.launch("cat")
    assert await process.close_stdin()
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert record is not None
    assert record.code == 0


async def test_a_stopped_process_gets_its_signal(bench: Bench) -> None:
    process = await bench.python(
        "import signal,sys,os,time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\nprint('ready')\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: time.sleep(1000)"
    )
    await until(lambda: process.members()[0].state == "T", "it is stopped")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=False)
    assert ended.verified
    assert str(ended.exit) == "exit 5"


async def test_a_stopped_tree_is_killed(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 1000 & kill -STOP $! $$")
    await until(lambda: {facts.state for facts in process.members()} == {"T"}, "all are stopped")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.verified
    assert len(ended.processes) == 2
    await assert_over(bench, process)


DAEMON = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir('/')
        os.closerange(0, 64)
        os.execve('/bin/sleep', ['sleep', '1000'], {})
    os._exit(0)
os.wait()
print('ready')
"""


@pytest.mark.parametrize("then", ["sys.exit(0)", "import time; time.sleep(1000)"])
async def test_a_daemon_with_cleared_environment_and_closed_descriptors(bench: Bench, then: str) -> None:
    process = await bench.python(DAEMON + then)
    await until(lambda: any(f.cmdline == "sleep 1000" for f in process.members()), "the daemon runs")
    (daemon,) = [facts for facts in process.members() if facts.cmdline == "sleep 1000"]
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert (daemon.pid, "SIGKILL") in [(end.pid, end.exit) for end in ended.processes]
    assert read_stat(daemon.pid) is None
    await assert_over(bench, process)


async def test_a_child_with_a_session_of_its_own(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "setsid sleep 1000 & wait")
    await until(lambda: any(f.cmdline == "sleep 1000" for f in process.members()), "the child runs")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert len(ended.processes) >= 2
    await assert_over(bench, process)


RESPAWNING = """
import os, signal, time
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


async def test_two_that_start_each_other_again(bench: Bench) -> None:
    process = await bench.python(RESPAWNING)
    ended = await process.terminate(signal=signal.SIGKILL, grace_seconds=5, force=True)
    assert ended.verified, ended
    await assert_over(bench, process)


async def test_a_tree_that_keeps_forking(bench: Bench) -> None:
    process = await bench.python(
        "import os,time,signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nprint('ready')\n"
        "end=time.time()+20\nwhile time.time()<end:\n"
        " if os.fork()==0:\n  os.setsid()\n  time.sleep(0.05)\n"
        "  if os.fork(): os._exit(0)\n  time.sleep(0.2)\n  os._exit(0)\n"
        " time.sleep(0.002)"
    )
    await until(lambda: len(process.members()) > 20, "it has forked")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.verified, ended
    await assert_over(bench, process)


async def test_ten_at_once(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait")
    await until(lambda: len(process.members()) == 10, "ten run")
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.verified
    assert len(ended.processes) == 10
    assert {end.exit for end in ended.processes} == {"SIGKILL"}


@pytest.mark.parametrize("bench", ["cgroup"], indirect=True)
async def test_a_process_that_left_its_cgroup(bench: Bench) -> None:
    if os.geteuid() != 0:
        pytest.skip("only a privileged process can leave its cgroup")
    process = await bench.launch("sleep", "1000")
    assert process.cgroup is not None
    elsewhere = process.cgroup.parents[2] / "cgroup.procs"
    elsewhere.write_text(str(process.main.pid))
    assert process.census.members()
    assert process.census.in_cgroup == set()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.verified
    assert len(ended.processes) == 1
    await assert_over(bench, process)


@pytest.mark.parametrize("bench", ["cgroup"], indirect=True)
async def test_a_tree_that_is_frozen_by_its_cgroup(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    assert process.control_group is not None
    assert process.control_group.freeze()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=False)
    assert ended.verified
    assert str(ended.exit) == "SIGTERM"


async def test_what_cannot_die_is_a_survivor_until_it_does(bench: Bench) -> None:
    freezer = Path("/sys/fs/cgroup/freezer")
    if not os.access(freezer / "cgroup.procs", os.W_OK):
        pytest.skip("no freezer (cgroup version 1) to make a process that takes no SIGKILL")
    process = await bench.launch("sleep", "1000")
    ice = freezer / f"runplane-test-{process.run_id}"
    ice.mkdir()
    try:
        (ice / "cgroup.procs").write_text(str(process.main.pid))
        (ice / "freezer.state").write_text("FROZEN")
        await until(lambda: (ice / "freezer.state").read_text().strip() == "FROZEN", "it is frozen")
        ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True, limit_seconds=0.3)
        assert not ended.verified
        assert ended.verified_by == ()
        assert ended.processes == ()
        (survivor,) = ended.survivors
        assert (survivor.pid, survivor.cmdline) == (process.main.pid, "sleep 1000")
        assert "SIGKILL" in survivor.why
        assert not process.gone.is_set()
        (ice / "freezer.state").write_text("THAWED")
        await asyncio.wait_for(process.wait_gone(), LIMIT)
        again = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
        assert again.verified
        assert str(again.exit) == "SIGKILL"
    finally:
        (ice / "freezer.state").write_text("THAWED")
        await until(lambda: not (ice / "cgroup.procs").read_text(), "the freezer is empty")
        ice.rmdir()


TRACER = """
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0, ctypes.get_errno()
print('seized', flush=True)
time.sleep(1000)
"""


async def test_a_process_that_is_traced_from_outside(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    tracer = await asyncio.create_subprocess_exec(
        PYTHON, "-c", TRACER, str(process.main.pid), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert tracer.stdout is not None
        assert await tracer.stdout.readline() == b"seized\n"
        ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
        assert ended.verified
        assert [end.pid for end in ended.processes] == [process.main.pid]
    finally:
        tracer.kill()
        await tracer.communicate()
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert str(record) == "SIGKILL"


# --- held still, and let go on ---------------------------------------------------------------------------------------

TALKS = (
    "trap 'exit 9' TERM; (setsid sh -c 'while :; do echo b; sleep 0.01; done' &);"
    " while :; do echo a; sleep 0.01; done"
)


async def test_a_tree_is_held_still_and_goes_on(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", TALKS)
    printed = process.directory / "stdout.log"
    await until(lambda: {b"a", b"b"} <= set(printed.read_bytes().split()), "both talk")
    assert await process.standstill.hold() == []
    before = printed.stat().st_size
    other = await bench.launch("sh", "-c", "sleep 0.2")
    await asyncio.wait_for(other.wait_gone(), LIMIT)
    assert printed.stat().st_size == before
    assert process.standstill.held_seconds() >= 0.2
    assert await process.standstill.hold() == []  # held again by the next agent: it is so already

    assert process.standstill.release() >= 0.2
    assert not process.standstill.is_noted
    await until(lambda: {b"a", b"b"} <= set(printed.read_bytes()[before:].split()), "both talk again")


async def test_a_full_disk_holds_nothing_and_leaves_no_note(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await bench.launch("sleep", "600")

    def full(path: Path, _: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            await process.standstill.hold()
    assert not process.standstill.is_noted
    stat = read_stat(process.main.pid)
    assert stat is not None
    assert stat.state != "T"


async def test_a_held_tree_hears_the_signal_that_ends_it(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", TALKS)
    printed = process.directory / "stdout.log"
    await until(lambda: {b"a", b"b"} <= set(printed.read_bytes().split()), "both talk")
    assert await process.standstill.hold() == []
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=False)
    assert ended.verified
    assert str(ended.exit) == "exit 9"


# --- the agent, the shim and the zygote die --------------------------------------------------------------------------


async def test_an_agent_that_died_finds_its_run_again(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "trap 'exit 9' TERM; echo begun; while :; do sleep 0.05; done")
    await bench.replace_agent()
    assert is_alive(process.main)
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert (adopted.main, adopted.shim, adopted.mechanism) == (process.main, process.shim, bench.mechanism)
    assert adopted.shim_alive
    assert not adopted.rebooted
    assert adopted.exit is None
    ended = await adopted.terminate(signal=signal.SIGTERM, grace_seconds=LIMIT, force=False)
    assert ended.verified
    assert str(ended.exit) == "exit 9"


AGENT = """
import asyncio, sys
from pathlib import Path
from agent.process.launcher import Launcher, LaunchRequest
async def main(home, mechanism, run_id, directory):
    launcher = Launcher(Path(home), mechanism)
    await launcher.start()
    request = LaunchRequest(
        run_id=run_id, attempt=1, directory=Path(directory), argv=("cat",), cwd="/", env={"PATH": "/usr/bin:/bin"}
    )
    await launcher.launch(request)
    print(launcher.zygote_pid, flush=True)
    await asyncio.sleep(1000)
asyncio.run(main(*sys.argv[1:]))
"""


async def test_kill_9_of_a_whole_agent(bench: Bench) -> None:
    request = bench.request("cat")
    arguments = (str(bench.home), bench.mechanism, request.run_id, str(request.directory))
    agent = await asyncio.create_subprocess_exec(
        PYTHON, "-c", AGENT, *arguments, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
    )
    assert agent.stdout is not None
    zygote = identify(int(await asyncio.wait_for(agent.stdout.readline(), LIMIT)))
    assert zygote is not None
    agent.kill()
    await agent.communicate()
    await until(lambda: not is_alive(zygote), "the zygote has ended by itself")
    adopted = await bench.launcher.adopt(request.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert is_alive(adopted.main), "its standard input is held by the shim"
    assert await adopted.close_stdin()
    assert str(await asyncio.wait_for(adopted.wait_exit(), LIMIT)) == "exit 0"


async def test_what_ended_while_no_agent_was_there(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 0.2; echo last words; exit 4")
    await bench.replace_agent()
    await until(lambda: not is_alive(process.shim), "the shim has ended")
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert str(await asyncio.wait_for(adopted.wait_exit(), 0.1)) == "exit 4"
    await asyncio.wait_for(adopted.wait_gone(), 0.1)
    assert (process.directory / "stdout.log").read_bytes() == b"last words\n"


@pytest.mark.parametrize("bench", ["cgroup", "freezer"], indirect=True)
async def test_the_last_to_end_takes_the_places_of_the_agent_along(bench: Bench) -> None:
    processes = [await bench.launch("sleep", "1000") for _ in range(3)]
    for process in processes:
        process.close()
    await bench.launcher.close()
    assert processes[0].cgroup is not None
    place = processes[0].cgroup.parent
    assert place.exists()
    for process in processes:
        os.kill(process.main.pid, signal.SIGKILL)
    await until(lambda: not place.exists(), f"nothing of the agent is left: {place}")


async def test_main_ended_and_a_child_lives_while_no_agent_was_there(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 1000 & exit 6")
    await asyncio.wait_for(process.wait_exit(), LIMIT)
    await bench.replace_agent()
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert str(adopted.exit) == "exit 6"
    await until(
        lambda: [f.cmdline for f in adopted.leftovers()] == ["sleep 1000"], "the child is the only one left"
    )
    assert (await adopted.terminate(signal=signal.SIGTERM, grace_seconds=1, force=False)).verified


async def test_a_shim_that_has_no_socket_is_followed_all_the_same(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 0.3; sleep 1000 & exit 2")
    await bench.replace_agent()
    (process.directory / "shim.sock").unlink()
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert adopted.shim_alive
    assert not await adopted.close_stdin()
    assert str(await asyncio.wait_for(adopted.wait_exit(), LIMIT)) == "exit 2"
    ended = await adopted.terminate(signal=signal.SIGTERM, grace_seconds=1, force=False)
    assert ended.verified
    assert "subreaper" in ended.verified_by


async def test_a_directory_where_nothing_was_started(bench: Bench) -> None:
    assert await bench.launcher.adopt(bench.home / "runs" / "run_000000000000" / "1") is None


async def test_after_a_reboot_nothing_is_signalled(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    record = process.directory / "process.json"
    truth = record.read_text()
    record.write_text(truth.replace(process.main.boot_id, "00000000-0000-0000-0000-000000000000"))
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    assert adopted.rebooted
    assert adopted.members() == []
    assert await asyncio.wait_for(adopted.wait_exit(), 0.1) is None
    ended = await adopted.terminate(signal=signal.SIGKILL, grace_seconds=0, force=True)
    assert (ended.verified, ended.verified_by, ended.signals) == (True, (), ())
    assert is_alive(process.main)
    assert process.cgroup is None or process.cgroup.exists()
    adopted.close()
    record.write_text(truth)


async def test_a_killed_shim_is_noticed_and_its_tree_ended(bench: Bench) -> None:
    process = await bench.python(DAEMON + "import time; time.sleep(1000)")
    await until(lambda: any(f.cmdline == "sleep 1000" for f in process.members()), "the daemon runs")
    os.kill(process.shim.pid, signal.SIGKILL)
    await until(lambda: not process.shim_alive, "the shim is dead")
    assert is_alive(process.main)
    assert not process.gone.is_set()
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert len(ended.processes) == 2
    assert set(ended.verified_by) >= {"session", "environment"}
    assert "subreaper" not in ended.verified_by
    await assert_over(bench, process)
    left = [file.name for file in process.directory.iterdir()]
    assert not [name for name in left if name == "shim.sock" or name.endswith(".reserve")]


async def test_a_killed_shim_s_tree_is_found_by_another_agent(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 1000 & setsid sleep 1001 & wait")
    await until(lambda: len(process.members()) == 3, "three run")
    os.kill(process.shim.pid, signal.SIGKILL)
    await until(lambda: not process.shim_alive, "the shim is dead")
    await bench.replace_agent()
    adopted = await bench.launcher.adopt(process.directory)
    assert adopted is not None
    bench.keep(adopted)
    assert not adopted.shim_alive
    assert len(adopted.members()) == 3
    ended = await adopted.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)
    assert ended.verified
    assert len(ended.processes) == 3
    await assert_over(bench, adopted)


async def test_a_run_ends_by_itself_after_its_shim_was_killed(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "sleep 0.3; exit 8")
    os.kill(process.shim.pid, signal.SIGKILL)
    record = await asyncio.wait_for(process.wait_exit(), LIMIT)
    # Kernels before 6.15 tell the status of a process to its parent alone.
    assert record is None or record.code == 8
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    again = await bench.launcher.adopt(process.directory)
    assert again is not None
    assert again.exit == record
    again.close()


async def test_a_stopped_shim_still_records(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    os.kill(process.shim.pid, signal.SIGSTOP)
    ended = await process.terminate(signal=signal.SIGTERM, grace_seconds=0, force=True)
    assert ended.verified
    assert str(ended.exit) == "SIGKILL"
    await assert_over(bench, process)


async def test_signals_do_not_end_a_shim(bench: Bench) -> None:
    process = await bench.launch("sleep", "1000")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        os.kill(process.shim.pid, number)
    assert await process.close_stdin()
    assert process.shim_alive


async def test_a_killed_zygote_is_replaced_and_its_shims_go_on(bench: Bench) -> None:
    first = await bench.launch("sleep", "1000")
    zygote = bench.launcher.zygote_pid
    assert zygote is not None
    os.kill(zygote, signal.SIGKILL)
    second = await bench.launch("sleep", "1000")
    assert bench.launcher.zygote_pid != zygote
    for process in (first, second):
        assert process.shim_alive
        assert (await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)).verified


def spares_of(zygote: int | None) -> set[int]:
    """The shims of this zygote that have no attempt, each in its title."""
    children = read_head(f"/proc/{zygote}/task/{zygote}/children", 1 << 16).split()
    return {int(pid) for pid in children if b"waits for a run" in read_head(f"/proc/{pid.decode()}/cmdline")}


async def test_shims_wait_for_a_launch_and_are_replaced(bench: Bench) -> None:
    zygote = bench.launcher.zygote_pid
    await until(lambda: len(spares_of(zygote)) == SPARES, "the spares are there")
    waiting = spares_of(zygote)
    process = await bench.launch("sleep", "1000")
    assert process.shim.pid in waiting, "nothing of a launch waits for a fork"
    await until(lambda: len(spares_of(zygote)) == SPARES, "the one that was taken is replaced")
    for pid in spares_of(zygote):
        os.kill(pid, signal.SIGKILL)
    again = await bench.launch("sleep", "1000")
    await until(lambda: len(spares_of(zygote)) == SPARES, "the killed ones are replaced")
    spares = [identity for pid in spares_of(zygote) if (identity := identify(pid)) is not None]
    await bench.launcher.close()
    await until(lambda: not any(map(is_alive, spares)), "the spares end with the agent")
    assert is_alive(process.shim)
    assert is_alive(again.shim)
    await bench.launcher.start()


async def test_more_launches_at_once_than_shims_wait(bench: Bench) -> None:
    requests = [bench.request("sleep", "1000") for _ in range(5 * SPARES)]
    launched = await asyncio.gather(*map(bench.launcher.launch, requests))
    assert len({bench.keep(process).main.pid for process in launched}) == 5 * SPARES


async def test_spares_end_with_a_killed_zygote(bench: Bench) -> None:
    zygote = bench.launcher.zygote_pid
    await until(lambda: len(spares_of(zygote)) == SPARES, "the spares are there")
    spares = [identity for pid in spares_of(zygote) if (identity := identify(pid)) is not None]
    assert zygote is not None
    os.kill(zygote, signal.SIGKILL)
    process = await bench.launch("true")
    assert str(await asyncio.wait_for(process.wait_exit(), LIMIT)) == "exit 0"
    await until(lambda: not any(map(is_alive, spares)), "nobody waits for what will not come")


async def test_a_zygote_that_does_not_answer(bench: Bench, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, bench.mechanism, launch_seconds=2.0)
    await launcher.start()
    assert launcher.zygote_pid is not None
    os.kill(launcher.zygote_pid, signal.SIGSTOP)
    request = bench.request("sleep", "1000")
    with pytest.raises(LaunchError) as caught:
        await launcher.launch(request)
    assert caught.value.kind == "shim_failed"
    with pytest.raises(LaunchError) as again:
        await launcher.launch(request)
    assert again.value.kind == "already_launched"
    assert await launcher.adopt(request.directory) is None
    process = await launcher.launch(bench.request("sleep", "1000"))
    assert (await process.terminate(signal=signal.SIGTERM, grace_seconds=5, force=False)).verified
    await launcher.close()


async def test_an_abandoned_directory_stays_empty(bench: Bench) -> None:
    request = bench.request("sleep", "1000")
    assert await bench.launcher.abandon(request.directory, "given up")
    assert await bench.launcher.abandon(request.directory, "given up again")
    with pytest.raises(LaunchError) as caught:
        await bench.launcher.launch(request)
    assert caught.value.kind == "already_launched"
    started = await bench.launch("sleep", "1000")
    assert not await bench.launcher.abandon(started.directory, "too late")


# --- what cannot be started ------------------------------------------------------------------------------------------


async def refused(bench: Bench, request: LaunchRequest) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        await bench.launcher.launch(request)
    assert caught.value.field in ("cwd", "argv[0]", "argv[1]", "directory", "env", "env.TOKEN")
    return caught.value


async def test_command_not_found(bench: Bench) -> None:
    error = await refused(bench, bench.request("no-such-program-here"))
    assert (error.kind, error.field, error.value) == ("command_not_found", "argv[0]", "no-such-program-here")
    assert "PATH" in error.message


async def test_not_executable(bench: Bench) -> None:
    plain = bench.home / "plain"
    plain.write_text("echo hello")
    assert (await refused(bench, bench.request(str(plain)))).kind == "not_executable"
    plain.chmod(0o755)
    assert (await refused(bench, bench.request(str(plain)))).kind == "not_executable"
    plain.write_text("#!/no/such/interpreter\n")
    error = await refused(bench, bench.request("./plain"))
    assert error.kind == "not_executable"
    assert "interpreter" in error.message


async def test_bad_working_directory(bench: Bench) -> None:
    for cwd in ("/no/such/place", "/etc/passwd"):
        error = await refused(bench, bench.request("sleep", "1", cwd=cwd))
        assert (error.kind, error.field, error.value) == ("bad_working_directory", "cwd", cwd)


async def test_an_argument_of_two_megabytes(bench: Bench) -> None:
    error = await refused(bench, bench.request("echo", "x" * (2 << 20)))
    assert (error.kind, error.field) == ("argument_too_long", "argv[1]")
    assert len(error.value) < 200


async def test_many_arguments_of_a_megabyte_together(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "echo $#", *(["x" * 1000] * 1000))
    await asyncio.wait_for(process.wait_exit(), LIMIT)
    assert (process.directory / "stdout.log").read_text() == "999\n"


async def test_nul_and_other_impossible_text(bench: Bench) -> None:
    assert (await refused(bench, bench.request("echo", "a\0b"))).kind == "bad_argument"
    assert (await refused(bench, bench.request("echo", "\ud800"))).kind == "bad_argument"
    assert (await refused(bench, bench.request(""))).kind == "bad_argument"
    error = await refused(bench, bench.request("echo", TOKEN="hush\0hush"))
    assert error.kind == "bad_argument"
    assert "hush" not in str(error)


async def test_a_second_launch_in_the_same_directory(bench: Bench) -> None:
    request = bench.request("sleep", "1000")
    process = bench.keep(await bench.launcher.launch(request))
    error = await refused(bench, request)
    assert error.kind == "already_launched"
    assert is_alive(process.main)


async def test_two_launches_at_once_in_the_same_directory(bench: Bench) -> None:
    request = bench.request("sh", "-c", "echo one; sleep 1000")
    outcomes = await asyncio.gather(
        *(bench.launcher.launch(request) for _ in range(4)), return_exceptions=True
    )
    started = [outcome for outcome in outcomes if isinstance(outcome, AttemptProcess)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, LaunchError)]
    assert [error.kind for error in refusals] == ["already_launched"] * 3
    (process,) = started
    bench.keep(process)
    await until(lambda: (process.directory / "stdout.log").read_bytes() == b"one\n", "it has printed")
    assert process.cgroup is None or process.control_group is not None
    assert (await process.terminate(signal=signal.SIGTERM, grace_seconds=1, force=False)).verified


async def test_secrets_are_not_left_in_the_directory(bench: Bench) -> None:
    process = await bench.launch("sh", "-c", "exit 0", TOKEN="wrzlprmpft")
    await asyncio.wait_for(process.wait_gone(), LIMIT)
    assert all(
        b"wrzlprmpft" not in file.read_bytes() for file in process.directory.iterdir() if file.is_file()
    )


# --- many ------------------------------------------------------------------------------------------------------------


async def test_twenty_at_once_and_no_zombie(bench: Bench) -> None:
    requests = [bench.request("sh", "-c", f"sleep 0.05; exit {number}") for number in range(20)]
    started = await asyncio.gather(*(bench.launcher.launch(request) for request in requests))
    for process in started:
        bench.keep(process)
    records = await asyncio.wait_for(asyncio.gather(*(process.wait_exit() for process in started)), LIMIT)
    assert [record.code if record else None for record in records] == list(range(20))
    await asyncio.wait_for(asyncio.gather(*(process.wait_gone() for process in started)), LIMIT)
    await until(lambda: not bench.left(), f"nothing is left: {bench.left()}")


async def test_a_canceled_termination_can_be_repeated(bench: Bench) -> None:
    process = await bench.python(
        "import signal,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(1000)"
    )
    first = asyncio.ensure_future(process.terminate(signal=signal.SIGTERM, grace_seconds=1000, force=False))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert is_alive(process.main)
    assert (await process.terminate(signal=signal.SIGTERM, grace_seconds=0.1, force=False)).verified


async def test_signals_that_a_parent_handed_down_ignored_are_default_again(tmp_path: Path) -> None:
    """Some parents (GNU make among them) leave even the C library's own signals ignored."""
    ignore = (
        "import ctypes, os, platform, struct, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "sigaction = {'x86_64': 13, 'aarch64': 134}[platform.machine()]\n"
        "action = ctypes.create_string_buffer(struct.pack('QQQQ', 1, 0, 0, 0), 32)\n"
        "assert [libc.syscall(sigaction, n, action, None, 8) for n in (1, 10, 32, 33, 40)] == [0] * 5\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    launch = (
        "import asyncio, pathlib, sys\n"
        "from agent.process.launcher import Launcher, LaunchRequest\n"
        "async def main():\n"
        "    place = pathlib.Path(sys.argv[1])\n"
        "    launcher = Launcher(place)\n"
        "    await launcher.start()\n"
        "    process = await launcher.launch(LaunchRequest(\n"
        "        run_id='run_0123456789ab', attempt=1, directory=place / 'run', cwd='/',\n"
        "        argv=('grep', 'SigIgn', '/proc/self/status'), env={'PATH': '/usr/bin:/bin'}))\n"
        "    await process.wait_gone()\n"
        "    await launcher.close()\n"
        "asyncio.run(main())\n"
    )
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", ignore, "-c", launch, str(tmp_path))
    assert await asyncio.wait_for(program.wait(), LIMIT) == 0
    ignored = int((tmp_path / "run" / "stdout.log").read_text().split()[1], 16)
    assert ignored & ~(1 << 31 | 1 << 32) == 0
