"""`runplane up` against the real parts: killed one by one, all at once, and the supervisor itself."""

import contextlib
import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runplane.cli.home import PARTS, Endpoint
from runplane.cli.readiness import look_for_host
from tests.running_system import PROGRAM, RunningSystem

pytestmark = pytest.mark.timeout(180)

Sleeper = Callable[..., str]


@pytest.fixture
def sleeper(system: RunningSystem, tmp_path: Path) -> Sleeper:
    """Registers a workflow that sleeps, starts a run of it, and returns the run's id once it is running."""

    def start() -> str:
        with api(system) as client:
            definition = {"name": "sleeper", "command": ["sleep", "300"], "workspace": str(tmp_path)}
            client.put("/workflows/sleeper", json=definition).raise_for_status()
            run: str = (
                client.post("/runs", json={"workflow": "sleeper", "params": {}})
                .raise_for_status()
                .json()["run_id"]
            )
        system.until(lambda: status_of(system, run) == "running", f"{run} runs")
        return run

    return start


def api(system: RunningSystem) -> httpx.Client:
    return httpx.Client(base_url=f"{system.url}/api/v1", headers=system.headers, timeout=30)


def status_of(system: RunningSystem, run: str) -> str:
    with api(system) as client:
        return str(client.get(f"/runs/{run}").raise_for_status().json()["status"])


def tree_of(run: str) -> list[int]:
    """What the kernel says: every process that has the run in its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"RUNPLANE_RUN_ID={run}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_when_ready_everything_answers_and_the_endpoint_is_private(system: RunningSystem) -> None:
    endpoint = system.endpoint

    assert stat.S_IMODE(system.home.endpoint_file.stat().st_mode) == 0o600
    assert set(endpoint.pids) == set(PARTS)
    assert all(is_alive(pid) for pid in endpoint.pids.values())
    assert httpx.get(f"{endpoint.url}/readyz").status_code == 200
    assert look_for_host(endpoint.url, endpoint.token, endpoint.host_id).is_there


def test_no_secret_is_on_any_command_line_or_in_what_up_printed(system: RunningSystem) -> None:
    endpoint = system.endpoint
    password = endpoint.nats_url.split("@", maxsplit=1)[0].rpartition(":")[2]

    for pid in (endpoint.up_pid, *endpoint.pids.values()):
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert endpoint.token not in command
        assert password not in command
    assert endpoint.token not in system.output()
    assert password not in system.output()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_killed_hard_is_started_again_and_runs_go_on(
    system: RunningSystem, sleeper: Sleeper, part: str
) -> None:
    run, before = sleeper(), system.endpoint

    killed = system.kill_part(part)

    system.until(lambda: system.endpoint.pids.get(part) != killed, f"{part} is another process")
    system.wait_ready()
    after = system.endpoint
    assert (after.url, after.nats_url, after.token) == (before.url, before.nats_url, before.token)
    assert {name for name in PARTS if after.pids[name] != before.pids[name]} == {part}
    assert status_of(system, run) == "running"


def test_all_parts_killed_at_once_come_back(system: RunningSystem, sleeper: Sleeper) -> None:
    run, before = sleeper(), system.endpoint

    for pid in before.pids.values():
        os.kill(pid, signal.SIGKILL)

    system.until(
        lambda: not set(system.endpoint.pids.values()) & set(before.pids.values()), "all are new processes"
    )
    system.wait_ready()
    system.until(lambda: status_of(system, run) == "running", "the run is adopted again")


def test_up_killed_hard_leaves_no_part_behind_and_the_next_up_adopts_the_runs(
    system: RunningSystem, sleeper: Sleeper
) -> None:
    run, before = sleeper(), system.endpoint
    tree = tree_of(run)
    assert system.up is not None

    system.up.kill()
    system.up.wait(30)

    system.until(lambda: not any(is_alive(pid) for pid in before.pids.values()), "the parts went with it", 10)
    assert tree
    assert all(is_alive(pid) for pid in tree)
    system.start()
    system.until(lambda: status_of(system, run) == "running", "the run is adopted again")


def test_a_second_up_on_the_same_home_is_refused_naming_the_first(system: RunningSystem) -> None:
    done = system.run("up", "--port", "0", "--home", str(system.home.path))

    assert done.returncode == 4
    assert str(system.endpoint.up_pid) in done.stderr


def test_ctrl_c_stops_everything_but_the_runs(system: RunningSystem, sleeper: Sleeper) -> None:
    run, before = sleeper(), system.endpoint
    assert system.up is not None

    os.kill(system.up.pid, signal.SIGINT)

    assert system.up.wait(40) == 0
    assert not system.home.endpoint_file.exists()
    assert not any(is_alive(pid) for pid in before.pids.values())
    system.start()
    system.until(lambda: status_of(system, run) == "running", "the run is adopted again")
    assert system.endpoint.host_id == before.host_id


def test_down_stops_it_and_says_so_again_when_nothing_runs(system: RunningSystem) -> None:
    pid = system.endpoint.up_pid

    first, second = (json.loads(system.run("down", "--json").stdout) for _ in range(2))

    assert (first["stopped"], first["pid"]) == (True, pid)
    assert second["stopped"] is False
    assert not is_alive(pid)


def test_down_with_kill_runs_leaves_none(system: RunningSystem, sleeper: Sleeper) -> None:
    runs = sorted([sleeper(), sleeper()])
    trees = [pid for run in runs for pid in tree_of(run)]

    done = system.run("down", "--kill-runs", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["killed"] == runs
    assert len(trees) >= len(runs)
    assert not any(is_alive(pid) for pid in trees)


def test_a_taken_port_is_named_before_anything_is_started(system: RunningSystem, tmp_path: Path) -> None:
    port = system.url.rpartition(":")[2]

    done = system.run("up", "--port", port, "--home", str(tmp_path / "other"))

    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr


def test_wait_ready_says_what_is_missing(home: Path) -> None:
    environment = os.environ | {"RUNPLANE_HOME": str(home)}

    done = subprocess.run(
        [*PROGRAM, "wait-ready", "--timeout", "0.1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 5
    assert "runplane up" in done.stderr


def test_a_stale_endpoint_is_not_taken_for_a_running_system(system: RunningSystem) -> None:
    before: Endpoint = system.endpoint
    assert system.up is not None
    system.up.kill()
    system.up.wait(30)
    assert system.home.endpoint_file.exists()

    done = system.run("wait-ready", "--timeout", "0.2")

    assert done.returncode == 5
    system.start()
    assert system.endpoint.up_pid != before.up_pid
