"""Runplane by its own command line: a real ``runplane up`` in a home of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.manager import GRACE_SECONDS, LIMIT_SECONDS

_PROGRAM = (sys.executable, "-m", "runplane.cli")
_READY_SECONDS = 60.0


class Runplane:
    """``up`` in the foreground. Its agent is the process that watches programs."""

    name = "Runplane"

    def __init__(self, directory: Path) -> None:
        """Start the system, and wait until it is ready."""
        self._directory = directory
        self._home = directory / "home"
        self._number = 0
        self._run_id = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        self._env = kept | {"RUNPLANE_HOME": str(self._home)}
        with (directory / "up.out").open("wb") as output:
            self._up = subprocess.Popen(
                [*_PROGRAM, "up", "--port", "0", "--home", str(self._home)],
                env=self._env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            self._verb("wait-ready", "--timeout", f"{_READY_SECONDS:g}")
            (host,) = self._json("hosts")["items"]
        except BaseException:
            self.close()
            raise
        self.version = f"{host['version']}, trees held by {host['mechanism']}"

    def start(self, argv: tuple[str, ...]) -> Path:
        """As a workflow of its own."""
        self._number += 1
        name = f"app{self._number}"
        file = self._directory / f"{name}.yaml"
        # Arguments are parameters, since in a command braces mean one.
        values = {f"part{index}": part for index, part in enumerate(argv)}
        definition = {
            "name": name, "command": [f"{{{key}}}" for key in values],
            "params": {"type": "object", "properties": {key: {"default": part} for key, part in values.items()}},
            "workspace": str(self._directory), "kill": {"grace": f"{GRACE_SECONDS:g}s"}, "leftovers": "wait",
        }  # fmt: skip
        file.write_text(json.dumps(definition))
        self._verb("workflows", "apply", str(file))
        self._run_id = self._verb("run", name).strip()
        return self._home / "agent" / "runs" / self._run_id / "1" / "stdout.log"

    def stop(self) -> str:
        """``runplane kill``; its status, and whether that is proven."""
        killed = self._json("kill", self._run_id, "--reason", "the comparison")
        receipt = killed["kill_receipt"]
        return f"{killed['status']}, {'verified' if receipt and receipt['verified'] else 'NOT verified'}"

    def crash(self) -> None:
        """Kill its agent; ``up`` starts it again by itself."""
        pid = self._agent()
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + LIMIT_SECONDS
        while self._agent() in (pid, 0):
            if time.monotonic() > until:
                raise AssertionError("the agent was not started again")
            time.sleep(0.05)
        self._verb("wait-ready", "--timeout", f"{_READY_SECONDS:g}")

    def pids(self) -> set[int]:
        """The main process of the run, while it runs."""
        run = self._json("status", self._run_id)
        return {attempt["main"]["pid"] for attempt in run["attempts"] if run["status"] == "running"}

    def close(self) -> None:
        """``runplane down``."""
        subprocess.run(
            [*_PROGRAM, "down", "--kill-runs"], env=self._env, capture_output=True, check=False, timeout=60
        )
        try:
            self._up.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()

    def _agent(self) -> int:
        endpoint = json.loads((self._home / "endpoint.json").read_text())
        return int(endpoint["pids"].get("agent", 0))

    def _json(self, *arguments: str) -> Any:
        return json.loads(self._verb(*arguments, "--json"))

    def _verb(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_PROGRAM, *arguments],
            env=self._env, capture_output=True, text=True, timeout=_READY_SECONDS + 10, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"runplane {' '.join(arguments)}: {done.stdout} {done.stderr}")
        return done.stdout
