"""Runplane itself: the real ``runplane up`` in a home of its own, asked over HTTP like anybody asks it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.contender import SLEEPER, VISITOR, Method, argv

LIMIT_SECONDS = 30.0
_READY_SECONDS = 60.0
_RUNNING = "running"
_CONNECTIONS = 16


class Runplane:
    """``version`` is what the agent says of itself."""

    name = "runplane"

    def __init__(self, directory: Path, fifo: Path) -> None:
        """Start the system with its two workflows, and wait until it is ready."""
        self.fifo = fifo
        self._home = directory / "home"
        self._run_id = ""
        self._force = False
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        self._env = kept | {"RUNPLANE_HOME": str(self._home)}
        with (directory / "up.out").open("wb") as output:
            self._up = subprocess.Popen(
                [*_PROGRAM, "up", "--port", "0", "--home", str(self._home),
                 "--workflows", str(_workflows(directory / "workflows", fifo))],
                env=self._env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            self._connect(directory)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self) -> None:
        """Look at a list that is empty."""
        self._ask("GET", "/runs?status=lost")

    def start(self, method: Method) -> None:
        """Answered once the broker has the order on disk."""
        self._force = method == "force"
        self._run_id = self._ask("POST", "/runs", {"workflow": "sleeper"})["run_id"]

    def pid(self) -> int:
        """The main process of the last attempt, once the run is running."""
        run = self._until(lambda run: run["status"] == _RUNNING)
        return int(run["attempts"][-1]["main"]["pid"])

    def kill(self) -> None:
        """Answered once the kernel showed that the whole tree is gone, and the log has it."""
        answer = self._ask("POST", f"/runs/{self._run_id}/kill?wait=30", {"force": self._force})
        run = answer["run"]
        if run["status"] != "killed" or not run["kill_receipt"]["verified"]:
            raise AssertionError(f"the run was not killed: {json.dumps(run)}")

    def restart(self) -> None:
        """One order: the tree is ended and verified gone, then the same is started again."""
        answer = self._ask("POST", f"/runs/{self._run_id}/restart", {})
        self._run_id = answer["new_run_id"]

    def start_many(self, count: int) -> None:
        """One request each, over several connections at once."""
        self._settle()
        asyncio.run(self._start_many(count))

    def close(self) -> None:
        """Stop the system and everything it runs."""
        self._http.close()
        self._end()

    async def _start_many(self, count: int) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        async with httpx.AsyncClient(
            base_url=self._base, headers=self._headers, timeout=LIMIT_SECONDS, limits=limits
        ) as http:
            asked = [http.post("/runs", json={"workflow": "visitor"}) for _ in range(count)]
            for answer in await asyncio.gather(*asked):
                answer.raise_for_status()

    def _connect(self, directory: Path) -> None:
        try:
            self._verb("wait-ready", "--timeout", f"{_READY_SECONDS:g}")
        except subprocess.CalledProcessError as error:
            said = (directory / "up.out").read_text(errors="replace")
            raise RuntimeError(f"runplane up is not ready: {error.stderr}\n{said[-3000:]}") from None
        endpoint = json.loads((self._home / "endpoint.json").read_text())
        self._base = f"{endpoint['url']}/api/v1"
        self._headers = {"Authorization": f"Bearer {endpoint['token']}"}
        self._http = httpx.Client(base_url=self._base, headers=self._headers, timeout=LIMIT_SECONDS)
        (host,) = self._ask("GET", "/hosts")["items"]
        self.version = f"{host['version']}, trees held by {host['mechanism']}"

    def _settle(self) -> None:
        """Wait until no run is open."""
        until = time.monotonic() + LIMIT_SECONDS
        while self._ask("GET", "/runs?limit=1&status=pending,starting,running,terminating")["total"]:
            if time.monotonic() > until:
                raise AssertionError("runs of an earlier measurement do not end")
            time.sleep(0.05)

    def _until(self, holds: Any) -> Any:
        until = time.monotonic() + LIMIT_SECONDS
        while not holds(run := self._ask("GET", f"/runs/{self._run_id}")):
            if time.monotonic() > until:
                raise AssertionError(f"{self._run_id} is {run['status']}: {json.dumps(run)}")
            time.sleep(0.01)
        return run

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def _verb(self, *arguments: str) -> None:
        subprocess.run(
            [*_PROGRAM, *arguments],
            env=self._env, check=True, capture_output=True, text=True, timeout=_READY_SECONDS + 10,
        )  # fmt: skip

    def _end(self) -> None:
        try:
            self._verb("down", "--kill-runs")
        except (subprocess.SubprocessError, OSError):
            self._up.terminate()
        try:
            self._up.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()


_PROGRAM = (sys.executable, "-m", "runplane.cli")


def _workflows(directory: Path, fifo: Path) -> Path:
    """The workflow files; YAML takes JSON as it is."""
    directory.mkdir()
    for name, script in (("sleeper", SLEEPER), ("visitor", VISITOR)):
        definition = {"name": name, "command": argv(script, fifo), "workspace": str(directory)}
        (directory / f"{name}.yaml").write_text(json.dumps(definition))
    return directory
