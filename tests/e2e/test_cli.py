"""The whole job through the command line, as scripts use it: verbs, ``--json``, exit codes."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.running_system import PROGRAM, REPOSITORY, RunningSystem

EXAMPLES = REPOSITORY / "examples"
UNKNOWN = "run_000000000000"


class Shell:
    """Runs verbs against one system."""

    def __init__(self, system: RunningSystem) -> None:
        self.system = system

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.system.run(*arguments)
        said = f"runplane {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said if code else f"{said}\n{self.system.output()}"
        assert "\x1b" not in done.stdout + done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def refusal(self, *arguments: str, code: int) -> Any:
        done = self.run(*arguments, "--json", code=code)
        return json.loads(done.stderr)["error"]

    def start(self, *arguments: str) -> str:
        return self.run("run", *arguments).stdout.strip()

    def until(self, run_id: str, **wanted: Any) -> Any:
        """The run, once its fields are as wanted; True means that there is something."""

        def is_so() -> bool:
            run.update(self.json("status", run_id))
            return all(
                bool(run[name]) if value is True else run[name] == value for name, value in wanted.items()
            )

        run: dict[str, Any] = {}
        self.system.until(is_so, f"{run_id} with {wanted}")
        return run


@pytest.fixture
def shell(system: RunningSystem) -> Shell:
    shell = Shell(system)
    applied = shell.json(
        "workflows", "apply", *(str(EXAMPLES / name / "workflow.yaml") for name in ("lina", "counter"))
    )
    assert [(item["name"], item["version"]) for item in applied["items"]] == [("lina", 1), ("counter", 1)]
    return shell


def is_alive(process: dict[str, Any]) -> bool:
    try:
        fields = Path(f"/proc/{process['pid']}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == process["start_time"] and fields[0] != "Z"


def test_a_stuck_run_is_found_killed_with_proof_restarted_and_accounted_for(shell: Shell) -> None:
    assert [view["name"] for view in shell.json("workflows")["items"]] == ["counter", "lina"]
    assert shell.json("workflows", "show", "lina")["definition"]["workspace"] == str(EXAMPLES / "lina")
    (host,) = shell.json("hosts")["items"]
    assert host["status"] == "online"

    stuck = shell.start("lina", "-p", "mode=stuck", "-p", "pace=1.5")
    run = shell.until(stuck, status="running", progress=True)
    assert run["params"] == {"epic": "epic.json", "mode": "stuck", "pace": 1.5}
    assert [item["run_id"] for item in shell.json("ps")["items"]] == [stuck]
    assert stuck in shell.run("ps").stdout

    killed = shell.json("kill", stuck, "--reason", "no progress")
    assert (killed["status"], killed["confirmed"]) == ("killed", True)
    receipt = killed["kill_receipt"]
    assert (receipt["requested_by"], receipt["via"], receipt["reason"]) == ("operator", "cli", "no progress")
    assert receipt["verified"]
    assert len(receipt["processes"]) >= 2
    assert not [process for process in receipt["processes"] if is_alive(process)]
    assert "had already ended as killed" in shell.run("kill", stuck).stdout

    restarted = shell.json("restart", stuck, "-p", "mode=healthy", "--reason", "again")
    new = restarted["new_run_id"]
    assert (restarted["run_id"], restarted["run"]["restarted_as"]) == (stuck, new)
    ended = shell.until(new, status="completed")
    assert (ended["restarted_from"], ended["params"]["mode"]) == (stuck, "healthy")
    assert ended["progress"]["done"] == 40
    assert "Report written to" in shell.run("logs", new, "--tail", "1").stdout

    names = [step["name"] for step in shell.json("steps", new)["items"]]
    assert "summarize" in names
    assert "completed" in shell.run("steps", new).stdout

    loop = shell.start("lina", "-p", "mode=loop")
    shell.until(loop, status="running")
    paused = shell.json("pause", loop, "--reason", "look")["run"]
    assert (paused["status"], paused["held"]["reason"]) == ("paused", "look")
    assert "held" in shell.run("status", loop).stdout
    assert "is running; it was held for" in shell.run("continue", loop).stdout
    assert shell.refusal("continue", loop, code=4)["code"] == "not_paused"
    declared = shell.json("force-complete", loop, "--outcome", "completed", "--reason", "done by hand")
    assert declared["run"]["status"] == "completed"
    assert declared["run"]["override"]["by"] == "operator"

    records = shell.json("events", stuck)["items"]
    assert [record["seq"] for record in records] == sorted({record["seq"] for record in records})
    asked = {record["type"]: record["actor"] for record in records}
    for order in ("StartRun", "KillRun", "RestartRun"):
        assert asked[order] == {"principal": "operator", "surface": "cli"}
    only = shell.json("events", "--type", "KillRun", "--actor", "operator")["items"]
    assert [record["data"]["reason"] for record in only] == ["no progress", None][: len(only)]

    before = next(record["seq"] for record in records if record["type"] == "KillRun")
    assert shell.json("replay", stuck, "--at", str(before))["status"] == "running"
    after = next(record["seq"] for record in records if record["type"] == "RunKilled")
    changes = shell.json("replay", stuck, "--diff", str(before), str(after))["changes"]
    assert {"field": "status", "before": "running", "after": "killed"} in changes
    story = [json.loads(line) for line in shell.run("replay", stuck, "--json").stdout.splitlines()]
    assert [record["seq"] for record in story] == [record["seq"] for record in records]
    assert {record["type"]: record["status"] for record in story}["RunKilled"] == "killed"
    assert shell.json("rebuild")["equal"] is True


def test_follow_shows_everything_and_exits_with_the_outcome(shell: Shell) -> None:
    done = shell.run("run", "counter", "-p", "count=5", "-p", "interval=0.01", "--follow")
    assert done.stdout == "1\n2\n3\n4\n5\n"
    assert "completed" in done.stderr

    failed = shell.run("run", "counter", "-p", "fail_at=2", "-p", "exit_code=3", "--follow", "--json", code=1)
    lines = [json.loads(line) for line in failed.stdout.splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("started", "ended")
    assert lines[-1]["run"]["exit"] == {"code": 3, "signal": None}
    output = [line for line in lines if line["event"] == "output"]
    assert "".join(item["text"] for item in output if item["stream"] == "stdout") == "1\n2\n"
    only = shell.run("logs", lines[0]["run"]["run_id"], "--stream", "stderr")
    assert only.stdout == "failing at 2, as it was told to\n"


def test_stopping_to_follow_leaves_the_run_alive(shell: Shell) -> None:
    following = subprocess.Popen(
        [*PROGRAM, "run", "lina", "-p", "mode=stuck", "--follow"],
        env=shell.system.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert following.stdout is not None
    assert "Larder" in following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=20)
    assert following.returncode == 130
    (run,) = shell.json("ps")["items"]
    assert run["status"] == "running"
    assert f"runplane kill {run['run_id']}" in said


SIX = """
import mmap, os, signal, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX); s.bind("six.sock"); s.listen()
name = f"runplane-test-{os.getpid()}"
f = os.open("/dev/shm/" + name, os.O_RDWR | os.O_CREAT); os.ftruncate(f, 65536); m = mmap.mmap(f, 65536); m[:1] = b"x"
for session in (False, False, True, True):
    subprocess.Popen(["sleep", "3600"], start_new_session=session)
subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.signal(15, lambda *_: 0); signal.pause()"])
print(name, flush=True)
signal.pause()
"""


def test_the_receipt_of_a_tree_of_six_is_read_at_a_glance(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "six.py").write_text(SIX)
    (tmp_path / "workflow.yaml").write_text(
        "name: six\ncommand: [python, six.py]\nworkspace: .\nenv: {PYTHONUNBUFFERED: '1'}\n"
    )
    shell.json("workflows", "apply", str(tmp_path / "workflow.yaml"))
    run_id = shell.start("six")
    shell.system.until(lambda: shell.run("logs", run_id).stdout.strip() != "", "the six run")
    segment = Path("/dev/shm") / shell.run("logs", run_id).stdout.strip()
    assert segment.exists()
    lines = shell.run("kill", run_id, "--reason", "no progress").stdout.splitlines()
    assert not segment.exists()
    assert not (tmp_path / "six.sock").exists()
    said = "\n".join(lines)
    assert len(lines) <= 15, said
    assert sum("sleep 3600" in line for line in lines) == 4, said
    assert "SIGTERM to " in said
    assert "SIGKILL to " in said
    assert said.index("six.py") < said.index("sleep 3600"), "the main process comes first"
    assert "1 unix socket, 1 shared-memory segment (4.0 KiB)" in said
    assert "no process is left" in said


def test_many_are_killed_at_once_and_each_has_its_result(shell: Shell) -> None:
    ids = {shell.start("counter", "-p", "count=100000") for _ in range(4)}
    spared = shell.start("lina", "-p", "mode=stuck")
    would = shell.json("kill", "--selector", "workflow=counter", "--dry-run")
    assert {item["run_id"] for item in would["results"]} == ids
    assert len(shell.json("ps")["items"]) == 5

    killed = shell.json("kill", "--selector", "workflow=counter", "--force", "--reason", "enough")["results"]
    assert {item["run_id"] for item in killed} == ids
    assert {item["status"] for item in killed} <= {"killed", "canceled"}
    assert all(item["confirmed"] for item in killed)
    assert [item["run_id"] for item in shell.json("ps")["items"]] == [spared]

    both = shell.json("kill", spared, UNKNOWN, code=3)["results"]
    assert {item["run_id"]: item["confirmed"] for item in both} == {spared: True, UNKNOWN: False}
    assert both[1]["error"]["code"] == "run_not_found"


def test_what_will_not_die_in_time_is_no_success(shell: Shell, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf.yaml"
    deaf.write_text(
        "name: deaf\ncommand: [sh, -c, 'trap \"\" TERM; echo deaf; while :; do sleep 1; done']\nkill: {grace: 5m}\n"
    )
    shell.run("workflows", "apply", str(deaf))
    run_id = shell.start("deaf")
    shell.system.until(lambda: shell.run("logs", run_id).stdout == "deaf\n", "the trap is set")
    refusal = shell.refusal("kill", run_id, "--timeout", "1s", code=1)
    assert (refusal["code"], refusal["exit_code"]) == ("not_confirmed", 1)
    assert "still terminating" in refusal["message"]
    assert "--force" in refusal["hint"]
    forced = shell.json("kill", run_id, "--force")
    assert (forced["status"], forced["confirmed"]) == ("killed", True)


def test_exit_codes_tell_scripts_what_happened(shell: Shell, tmp_path: Path) -> None:
    for verb in ("status", "logs", "kill", "restart", "force-complete", "events", "replay"):
        assert shell.refusal(verb, UNKNOWN, code=3)["code"] == "run_not_found"
    assert shell.refusal("run", "nosuch", code=3)["code"] == "workflow_not_found"
    assert shell.refusal("workflows", "show", "nosuch", code=3)["code"] == "workflow_not_found"

    assert shell.refusal("status", "nonsense", code=2)["code"] == "usage"
    assert "pace" in shell.refusal("run", "lina", "-p", "pace=soon", code=2)["message"]
    assert "nosuch" in shell.refusal("run", "lina", "-p", "nosuch=1", code=2)["message"]
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\ncommand: [true]\ntimeout: later\n")
    assert "bad.yaml:3: timeout: 'later'" in shell.refusal("workflows", "apply", str(bad), code=2)["message"]

    run_id = shell.start("counter", "-p", "count=1", "-p", "interval=0")
    shell.until(run_id, status="completed")
    assert shell.refusal("force-complete", run_id, "--outcome", "failed", code=4)["code"] == "already_ended"
    shell.run("restart", run_id)
    assert shell.refusal("restart", run_id, code=4)["code"] == "already_restarted"

    env = shell.system.env
    shell.system.env = env | {"RUNPLANE_TOKEN": "rp_nobody"}
    assert shell.refusal("ps", code=6)["code"]
    shell.system.env = env | {"RUNPLANE_URL": "http://127.0.0.1:1"}
    assert "runplane up" in shell.refusal("ps", code=5)["message"]
    shell.system.env = env | {"RUNPLANE_HOME": str(tmp_path / "nowhere")}
    assert "runplane up" in shell.refusal("ps", code=5)["message"]
    shell.system.env = env


def test_the_same_key_starts_one_run(shell: Shell) -> None:
    ids = {shell.start("counter", "-p", "count=1", "--idempotency-key", "nightly-1") for _ in range(3)}
    assert len(ids) == 1
    assert shell.json("ps", "--all")["total"] == 1


def test_a_control_plane_killed_hard_costs_its_clients_nothing(shell: Shell, tmp_path: Path) -> None:
    run_id = shell.start("counter", "-p", "count=120", "-p", "interval=0.05")
    output = tmp_path / "output"
    with output.open("w") as file:
        following = subprocess.Popen(
            [*PROGRAM, "logs", run_id, "--follow"],
            env=shell.system.env, stdout=file, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    shell.system.until(lambda: output.read_text().startswith("1\n"), "the first output")

    killed = shell.system.kill_part("control_plane")
    # Orders given while it is away are carried out once, when it is back.
    another = shell.start("counter", "-p", "count=100000")
    shell.system.until(lambda: shell.system.endpoint.pids["control_plane"] != killed, "another control plane")
    assert shell.json("kill", another)["status"] in ("killed", "canceled")

    _, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    assert output.read_text() == "".join(f"{number}\n" for number in range(1, 121))
    assert shell.json("ps", "--all")["total"] == 2


def test_a_pipe_whose_reader_goes_away_ends_the_program_quietly(shell: Shell) -> None:
    run_id = shell.start("counter", "-p", "count=20000", "-p", "interval=0")
    shell.until(run_id, status="completed")
    reading, writing = os.pipe()
    logs = subprocess.Popen(
        [*PROGRAM, "logs", run_id], env=shell.system.env, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    os.close(reading)
    _, said = logs.communicate(timeout=20)
    assert said == ""
