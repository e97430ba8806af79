"""``runplane ps --watch`` in a real terminal, in a pipe and as JSON, against a real control plane."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import pytest

from runplane.bus import Bus
from runplane.contract.events import ConditionRaised, HostJoined, ProgressReported, RunFailed
from runplane.contract.run import Condition, Failure
from runplane.contract.subjects import host_presence, telemetry
from runplane.contract.telemetry import HostTelemetry
from runplane.contract.value import Value
from runplane.stamp import now
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.plane import put
from tests.records import HOST, NOON, claim, record, spawned, start

pytestmark = pytest.mark.anyio

LIMIT = 20.0
ENTER, LEAVE, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
FAILED = RunFailed(failure=Failure(kind="exit", message="exit 3"))
STUCK = ConditionRaised(
    condition=Condition(type="stuck", verdict="idle", since=NOON, detail="it waits for a lock")
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def plane(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path_factory.mktemp("plane"), broker)
    plane.start()
    yield plane
    plane.stop()


@dataclass
class Host:
    """A host that beats, so that its runs do not count as those of a silent one; ``runs`` are its samples."""

    bus: Bus
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def beat(self) -> None:
        while True:
            said = {"host": HOST, "agent_id": "agent-1", "boot_id": "b", "time": now(), "runs": self.runs}
            payload = HostTelemetry.model_validate(said).model_dump_json().encode()
            await self.bus.publish_bytes(telemetry(HOST), payload, timeout=LIMIT)
            await asyncio.sleep(0.5)


@pytest.fixture
async def host(broker: BrokerProcess, plane: ControlPlaneProcess) -> AsyncIterator[Host]:
    bus = await Bus.connect(broker.url, name="test-host")
    host = Host(bus)
    joined = HostJoined(
        host=HOST, agent_id="agent-1", boot_id="b", pools=("default",), slots=4, version="0", platform="Linux",
        cpus=2, memory_bytes=2**30, mechanism="cgroup",
    )  # fmt: skip
    await put(
        bus, [record(joined, host=HOST, time=now()).model_copy(update={"subject": host_presence(HOST)})]
    )
    beating = asyncio.create_task(host.beat())
    deadline = time.monotonic() + LIMIT
    async with plane.client() as api:
        while [view["status"] for view in (await api.get("/hosts")).json()["items"]] != ["online"]:
            assert time.monotonic() < deadline, "the host is not heard"
            await asyncio.sleep(0.05)
    yield host
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await bus.close()


@pytest.fixture
async def bus(host: Host) -> Bus:
    return host.bus


def environment(plane: ControlPlaneProcess) -> dict[str, str]:
    return {
        "RUNPLANE_URL": plane.url, "RUNPLANE_TOKEN": plane.token, "PATH": "/usr/bin", "TERM": "xterm-256color",
        "LANG": "C.UTF-8", "PYTHONUTF8": "1",
    }  # fmt: skip


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runplane.cli", "ps", "--watch", *arguments]


def run_id(workflow: str, number: int) -> str:
    return f"run_{int.from_bytes(workflow.encode()[:3]):06x}{number:06x}"


async def begin(bus: Bus, workflow: str, number: int) -> str:
    one = run_id(workflow, number)
    await put(bus, [start(one, workflow=workflow)])
    await tell(bus, one, claim().data, spawned().data)
    return one


async def tell(bus: Bus, one: str, *facts: Value) -> None:
    await put(bus, [record(fact, run_id=one, host=HOST, attempt=1) for fact in facts])


class Terminal:
    """A pseudo terminal with the program in it; ``screen`` is what it drew last."""

    def __init__(
        self, plane: ControlPlaneProcess, *arguments: str, columns: int = 110, rows: int = 24
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.program = subprocess.Popen(
            argv(*arguments), stdin=slave, stdout=slave, stderr=slave, env=environment(plane), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 — Ctrl-C needs a terminal of its own
        )  # fmt: skip
        os.close(slave)
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def screen(self) -> list[str]:
        frames = self.output.split(b"\x1b[H")
        drawn = frames[-1] if len(frames[-1]) > 20 or len(frames) == 1 else frames[-2]
        text = _ESCAPES.sub("", drawn.decode(errors="replace"))
        return [line.rstrip() for line in text.replace("\r", "").split("\n")]

    async def until(self, holds: Callable[[list[str]], bool], what: str) -> list[str]:
        deadline = time.monotonic() + LIMIT
        while True:
            shown = self.screen
            if holds(shown):
                return shown
            assert time.monotonic() < deadline, f"{what}:\n" + "\n".join(shown)
            assert self.program.poll() is None, self.output.decode(errors="replace")
            await asyncio.sleep(0.02)

    def end(self, number: int | None = None) -> int:
        """End it, by Ctrl-C unless a signal is named; its exit code."""
        if number is None:
            os.write(self.master, b"\x03")
        else:
            self.program.send_signal(number)
        try:
            return self.program.wait(LIMIT)
        finally:
            self.program.kill()
            self._reader.join(LIMIT)
            os.close(self.master)

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self.master, 65_536)
            except OSError:
                return
            if not chunk:
                return
            self.output += chunk


async def test_the_table_lives_and_the_terminal_is_given_back(
    plane: ControlPlaneProcess, bus: Bus, host: Host
) -> None:
    first = await begin(bus, "lina", 1)
    terminal = Terminal(plane, "--workflow", "lina")
    try:
        await terminal.until(lambda shown: any(first in line for line in shown), "the run that was there")
        second = await begin(bus, "lina", 2)
        await begin(bus, "other", 1)
        shown = await terminal.until(lambda shown: any(second in line for line in shown), "one that came")
        assert shown[0].startswith("2 running")
        assert not any("other" in line for line in shown)
        await tell(bus, first, ProgressReported(done=3, total=10))
        await terminal.until(lambda shown: any("███░░░░░░░  30%" in line for line in shown), "progress")
        await tell(bus, first, STUCK)
        shown = await terminal.until(
            lambda shown: any("it waits for a lock" in line for line in shown), "stuck"
        )
        above = next(number for number, line in enumerate(shown) if "it waits for a lock" in line) - 1
        assert shown[above].startswith(first)
        host.runs[first] = {"cpu_percent": 87.0, "rss_bytes": 2**20, "sampled_at": now()}
        await terminal.until(lambda shown: any("▇   87%" in line for line in shown), "a sample")
        await tell(bus, second, FAILED)
        await terminal.until(
            lambda shown: any(second in line and "failed" in line for line in shown), "the end"
        )
        await terminal.until(lambda shown: not any(second in line for line in shown), "it leaves")
        terminal.resize(44, 6)
        shown = await terminal.until(lambda shown: max(map(len, shown)) <= 44, "narrow")
        assert len(shown) <= 6
    finally:
        code = terminal.end()
    assert code == 0
    assert terminal.output.count(ENTER) == terminal.output.count(LEAVE) == 1
    after = terminal.output.rsplit(LEAVE, 1)
    assert SHOW_CURSOR in terminal.output[terminal.output.rindex(b"\x1b[?25l") :]
    assert b"Traceback" not in terminal.output
    assert b"run_" not in after[1]


async def test_a_control_plane_that_goes_is_waited_for_and_a_signal_leaves_the_terminal_clean(
    plane: ControlPlaneProcess, bus: Bus
) -> None:
    one = await begin(bus, "stay", 1)
    terminal = Terminal(plane, "--workflow", "stay")
    try:
        await terminal.until(lambda shown: any(one in line for line in shown), "the run")
        plane.kill()
        await terminal.until(lambda shown: "is not reached" in shown[0], "it says that it is alone")
        assert any(one in line for line in terminal.screen)
        plane.start()
        two = await begin(bus, "stay", 2)
        shown = await terminal.until(lambda shown: any(two in line for line in shown), "it goes on")
        assert any(one in line for line in shown)
        await terminal.until(lambda shown: shown[0].startswith("2 running"), "and says so")
    finally:
        code = terminal.end(signal.SIGTERM)
    assert code == 143
    assert terminal.output.count(ENTER) == terminal.output.count(LEAVE) == 1
    assert b"Traceback" not in terminal.output


class Lines:
    """The program in a pipe, and the lines it wrote."""

    def __init__(self, plane: ControlPlaneProcess, *arguments: str) -> None:
        self.program = subprocess.Popen(
            argv(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(plane),
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(self.program.stdout,))
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))

    async def until(self, holds: Callable[[list[str]], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not holds(self.lines):
            assert time.monotonic() < deadline, f"{what}: {self.lines}"
            await asyncio.sleep(0.02)

    def end(self) -> tuple[int, str]:
        self.program.send_signal(signal.SIGINT)
        try:
            code = self.program.wait(LIMIT)
        finally:
            self.program.kill()
            self._reader.join(LIMIT)
        assert self.program.stderr is not None
        return code, self.program.stderr.read()


async def test_a_program_gets_an_object_for_each_change(plane: ControlPlaneProcess, bus: Bus) -> None:
    one = await begin(bus, "json", 1)
    lines = Lines(plane, "--workflow", "json", "--json")
    await lines.until(lambda found: len(found) == 1, "the run that was there")
    await tell(bus, one, ProgressReported(done=1, total=2), STUCK)
    await begin(bus, "other", 2)
    await tell(bus, one, FAILED)
    await lines.until(lambda found: len(found) == 4, "its changes")
    assert lines.end() == (0, "")
    told = [json.loads(line) for line in lines.lines]
    assert [(run["run_id"], run["status"]) for run in told] == [(one, "running")] * 3 + [(one, "failed")]
    assert [run["seq"] for run in told] == sorted({run["seq"] for run in told})
    assert told[2]["conditions"][0]["verdict"] == "idle"


async def test_in_a_pipe_a_line_comes_when_what_it_says_changes(plane: ControlPlaneProcess, bus: Bus) -> None:
    one = await begin(bus, "pipe", 1)
    lines = Lines(plane, "--workflow", "pipe")
    await lines.until(lambda found: len(found) == 1, "the run that was there")
    await tell(bus, one, ProgressReported(done=1, total=2), ProgressReported(done=1, total=2), FAILED)
    await lines.until(lambda found: len(found) == 3, "its changes")
    assert lines.end() == (0, "")
    assert [line.split("  ", 1)[1] for line in lines.lines] == [
        f"{one}  pipe  running", f"{one}  pipe  running  1/2", f"{one}  pipe  failed  exit 3",
    ]  # fmt: skip
    assert "\x1b" not in "".join(lines.lines)
