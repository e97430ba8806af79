"""A whole system for tests: `runplane up` as a process of its own, in a home of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from runplane.cli.home import Endpoint, Home

LIMIT = 60.0
PROGRAM = [sys.executable, "-m", "runplane.cli"]
REPOSITORY = Path(__file__).parent.parent


class RunningSystem:
    """``endpoint`` is read anew at every use, since pids change when a part is started again."""

    def __init__(
        self, home: Path, *, options: tuple[str, ...] = (), env: Mapping[str, str] | None = None
    ) -> None:
        self.home = Home(path=home)
        self.options = options
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        self.env = kept | {"RUNPLANE_HOME": str(home), "PYTHONPATH": paths, **(env or {})}
        self.up: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.home.read_endpoint()
        assert endpoint is not None, f"there is no endpoint.json:\n{self.output()}"
        return endpoint

    @property
    def url(self) -> str:
        return self.endpoint.url

    @property
    def token(self) -> str:
        return self.endpoint.token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def start(self) -> None:
        """Start `up` and wait until everything is ready."""
        with (self.home.path / "up.out").open("ab") as output:
            self.up = subprocess.Popen(
                [*PROGRAM, "up", "--port", "0", "--home", str(self.home.path), *self.options],
                env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.wait_ready()

    def wait_ready(self) -> None:
        """As a script would: `runplane wait-ready`."""
        done = self.run("wait-ready", "--timeout", str(int(LIMIT)))
        assert done.returncode == 0, f"{done.stderr}\n{self.output()}"

    def run(self, *arguments: str, timeout: float = LIMIT + 10) -> subprocess.CompletedProcess[str]:
        """Run one verb against this system."""
        return subprocess.run(
            [*PROGRAM, *arguments], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def kill_part(self, name: str) -> int:
        """Kill -9 one part; returns the pid it had."""
        pid = self.endpoint.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def until(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Wait until a condition holds, or fail with what `up` printed."""
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit:g} s: {what}\n{self.output()}"
            time.sleep(0.02)

    def output(self) -> str:
        """What `up` and its parts printed last."""
        files = [self.home.path / "up.out", *sorted(self.home.logs.glob("*.log"))]
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files if file.exists()
        )

    def end(self) -> None:
        """`runplane down --kill-runs`; then whatever is left of this home is killed, and so shown by ``leftovers``."""
        if self.up is None:
            return
        self.run("down", "--kill-runs")
        try:
            self.up.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.up.kill()
            self.up.wait(LIMIT)
        self._left = _processes_of(self.home.path)
        for pid in self._left:
            os.kill(pid, signal.SIGKILL)

    def leftovers(self) -> list[str]:
        """Processes of this home that outlived `down --kill-runs`."""
        return [f"{pid} {command}" for pid, command in getattr(self, "_left", {}).items()]


def _processes_of(home: Path) -> dict[int, str]:
    """Processes that name the home in their environment or their argv, by pid."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        marker = str(home).encode()
        if b"RUNPLANE_HOME=" + marker + b"\0" in environment + b"\0" or marker in command:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
