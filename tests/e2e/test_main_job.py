"""The main job on the whole system, through the HTTP API: what a user was told holds, whatever is killed when."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agent_process import AgentProcess, alive
from tests.running_system import RunningSystem

LIMIT = 60.0
SLEEPER = {"name": "sleeper", "command": ["sleep", "600"], "workspace": "/"}
Json = dict[str, Any]


class Api:
    """The HTTP API of a system whose parts may be away for a moment."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system

    def call(self, method: str, path: str, body: Json | None = None, **params: object) -> httpx.Response:
        """One request; asked again, with the same key, as long as the plane is away."""
        key = {"Idempotency-Key": f"{time.monotonic_ns()}"} if method == "POST" else {}
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                answer = httpx.request(
                    method,
                    f"{self._system.url}/api/v1{path}",
                    json=body,
                    params=params,  # type: ignore[arg-type]
                    headers=self._system.headers | key,
                    timeout=LIMIT,
                )
                if answer.status_code != 503:
                    return answer
            except (httpx.TransportError, AssertionError):
                pass
            assert time.monotonic() < deadline, f"{method} {path}: no answer\n{self._system.output()}"
            time.sleep(0.05)

    def apply(self, definition: Json) -> None:
        answer = self.call("PUT", f"/workflows/{definition['name']}", definition)
        assert answer.status_code in (200, 201), answer.text

    def start(self, workflow: str, **body: object) -> str:
        answer = self.call("POST", "/runs", {"workflow": workflow, **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    def run(self, run_id: str) -> Json:
        answer = self.call("GET", f"/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, run_id: str, holds: Callable[[Json], bool]) -> Json:
        deadline = time.monotonic() + LIMIT
        while not holds(run := self.run(run_id)):
            assert time.monotonic() < deadline, f"{run}\n{self._system.output()}"
            time.sleep(0.05)
        return run

    def running(self, run_id: str) -> Json:
        return self.until(run_id, lambda run: run["status"] == "running")

    def ended(self, run_id: str) -> Json:
        return self.until(run_id, lambda run: run["ended_at"] is not None)

    def output(self, run_id: str) -> str:
        """Standard output, once all of it has arrived."""
        items = self.call("GET", f"/runs/{run_id}/logs", stream="stdout").json()["items"]
        return "".join(item["text"] for item in items)

    def story(self, run_id: str) -> list[str]:
        return [
            event["type"] for event in self.call("GET", f"/runs/{run_id}/events", limit=1000).json()["items"]
        ]


@pytest.fixture
def api(system: RunningSystem) -> Api:
    return Api(system)


def states(system: RunningSystem) -> list[tuple[str, str]]:
    with sqlite3.connect(system.home.path / "control_plane" / "read_model.sqlite") as model:
        return model.execute("SELECT run_id, state FROM states ORDER BY run_id").fetchall()


@pytest.mark.slow
def test_whatever_part_is_killed_the_run_goes_on_once_and_nothing_is_lost(
    system: RunningSystem, api: Api, tmp_path: Path
) -> None:
    starts, gate = tmp_path / "starts", tmp_path / "gate"
    script = (
        f"echo $RUNPLANE_RUN_ID >> {starts}; i=0; "
        f"while [ ! -e {gate} ] || [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; echo $i; exit 5"
    )
    api.apply({"name": "counter", "command": ["sh", "-c", script], "workspace": "/"})
    run_id = api.start("counter")
    api.running(run_id)
    for parts in (["control_plane"], ["nats"], ["agent"], ["nats", "control_plane", "agent"]):
        before = dict(system.endpoint.pids)
        for part in parts:
            system.kill_part(part)
        system.until(
            lambda parts=parts, before=before: all(  # type: ignore[misc]
                (found := system.home.read_endpoint()) is not None and found.pids.get(part) != before[part]
                for part in parts
            ),
            f"{parts} started again",
        )
        assert api.run(run_id)["status"] == "running"
    gate.touch()
    run = api.ended(run_id)
    assert (run["status"], run["exit"]["code"], len(run["attempts"])) == ("failed", 5, 1)
    assert starts.read_text() == f"{run_id}\n"
    lines = api.output(run_id).splitlines()
    assert lines[:-1] == [f"line {number}" for number in range(int(lines[-1]))]
    assert api.story(run_id).count("RunFailed") == 1
    assert api.call("POST", "/rebuild").json()["equal"]


def test_from_the_log_alone_come_the_same_runs_byte_for_byte(system: RunningSystem, api: Api) -> None:
    api.apply(SLEEPER)
    killed, alive_still, pending = (
        api.start("sleeper"),
        api.start("sleeper"),
        api.start("sleeper", pool="nobody"),
    )
    api.running(killed)
    api.running(alive_still)
    api.call("POST", f"/runs/{killed}/kill", {"reason": "test"}, wait=30)
    assert api.call("POST", "/rebuild").json()["equal"]
    before = states(system)
    assert {run_id for run_id, _ in before} >= {killed, alive_still, pending}
    system.run("down")
    assert system.up is not None
    system.up.wait(LIMIT)
    for file in (system.home.path / "control_plane").glob("read_model.sqlite*"):
        file.unlink()
    system.start()
    api.running(alive_still)
    assert states(system) == before
    assert system.run("rebuild", "--json").stdout.find('"equal": true') >= 0


def test_a_killed_run_is_gone_and_every_surface_says_the_same(system: RunningSystem, api: Api) -> None:
    api.apply({
        "name": "family",
        "command": ["sh", "-c", "trap '' TERM; (setsid sleep 600 &); sleep 600 & sleep 600; wait; sleep 600"],
        "workspace": "/",
        "kill": {"grace": "200ms"},
    })  # fmt: skip
    run_id = api.start("family")
    main = api.running(run_id)["attempts"][0]["main"]["pid"]
    answer = api.call("POST", f"/runs/{run_id}/kill", {"reason": "hangs"}, wait=30)
    assert answer.status_code == 200
    run = answer.json()["run"]
    receipt = run["kill_receipt"]
    assert (run["status"], receipt["verified"], receipt["survivors"]) == ("killed", True, [])
    assert main in [process["pid"] for process in receipt["processes"]]
    assert len(receipt["processes"]) >= 3
    assert all(process["exit"] for process in receipt["processes"])
    assert not [process["pid"] for process in receipt["processes"] if alive(process["pid"])]
    status = system.run("status", run_id, "--json")
    assert '"status": "killed"' in status.stdout
    assert api.story(run_id)[-1] == "RunKilled"


def test_two_kills_at_once_are_one_kill_and_both_are_told(api: Api) -> None:
    api.apply(SLEEPER)
    run_id = api.start("sleeper")
    api.running(run_id)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(api.call("POST", f"/runs/{run_id}/kill", {}, wait=30)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert [(answer.status_code, answer.json()["run"]["status"]) for answer in answers] == [
        (200, "killed")
    ] * 4
    assert api.story(run_id).count("RunKilled") == 1


def test_a_pending_run_is_canceled_and_never_starts(system: RunningSystem, api: Api, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    api.apply({"name": "witness", "command": ["touch", str(witness)], "workspace": "/"})
    run_id = api.start("witness", pool="later")
    answer = api.call("POST", f"/runs/{run_id}/kill", {}, wait=10)
    assert answer.json()["run"]["status"] == "canceled"
    late = AgentProcess(tmp_path / "late", system.endpoint.nats_url, host="late", RUNPLANE_POOLS="later")
    late.start()
    try:
        assert api.ended(api.start("witness", pool="later"))["status"] == "completed"
        witness.unlink()
        assert api.ended(api.start("witness", pool="later"))["status"] == "completed"
        assert api.run(run_id)["status"] == "canceled"
        assert "RunClaimed" not in api.story(run_id)
    finally:
        late.stop()


def test_a_restart_of_a_deleted_workflow_uses_the_same_configuration(api: Api) -> None:
    api.apply({**SLEEPER, "env": {"COLOUR": "blue"}})
    run_id = api.start("sleeper")
    api.running(run_id)
    assert api.call("DELETE", "/workflows/sleeper").status_code in (200, 204)
    assert api.call("POST", "/runs", {"workflow": "sleeper"}).status_code == 404
    answer = api.call("POST", f"/runs/{run_id}/restart", {"reason": "again"}, wait=30)
    new_id = answer.json()["new_run_id"]
    new = api.running(new_id)
    assert new["restarted_from"] == run_id
    assert Path(f"/proc/{new['attempts'][0]['main']['pid']}/environ").read_bytes().find(b"COLOUR=blue") >= 0
    old = api.run(run_id)
    assert (old["status"], old["restarted_as"]) == ("killed", new_id)
    again = api.call("POST", f"/runs/{run_id}/restart", {})
    assert (again.status_code, again.json()["new_run_id"]) == (409, new_id)
    api.call("POST", f"/runs/{new_id}/kill", {"force": True}, wait=30)


def test_a_declared_outcome_stands_until_it_is_replaced(api: Api) -> None:
    api.apply(SLEEPER)
    run_id = api.start("sleeper")
    api.running(run_id)
    declare = f"/runs/{run_id}/force-complete"
    first = api.call("POST", declare, {"outcome": "completed", "reason": "done by hand"}, wait=30)
    assert first.json()["run"]["status"] == "completed"
    assert "SIGTERM" in first.json()["run"]["override"]["observed"]
    assert api.call("POST", declare, {"outcome": "completed"}).status_code == 200
    refused = api.call("POST", declare, {"outcome": "failed"})
    assert refused.status_code == 409
    assert "replace" in refused.json()["detail"]
    replaced = api.call("POST", declare, {"outcome": "failed", "replace": True}, wait=10)
    assert replaced.json()["run"]["status"] == "failed"


def test_a_second_host_joins_serves_the_pool_and_is_addressed(
    system: RunningSystem, api: Api, tmp_path: Path
) -> None:
    api.apply({"name": "where", "command": ["sh", "-c", "echo $RUNPLANE_DIR"], "workspace": "/"})
    second = AgentProcess(tmp_path / "second", system.endpoint.nats_url, host="second")
    second.start()
    try:
        system.until(lambda: "second" in system.run("hosts", "--json").stdout, "the second host is listed")
        run = api.ended(api.start("where", host="second"))
        assert run["host"] == "second"
        assert str(tmp_path / "second") in api.output(run["run_id"])
        hosts = {api.ended(api.start("where"))["host"] for _ in range(12)}
        assert hosts <= {"second", system.endpoint.host_id}
        unknown = api.call("POST", "/runs", {"workflow": "where", "host": "nowhere"})
        assert unknown.status_code in (404, 422)
        assert "nowhere" in unknown.text
    finally:
        second.stop()
