"""A control plane as a process of its own, for tests: killed, and started again on the same port and files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from runplane.cli.ports import LOOPBACK, pick_free
from tests.broker_process import BrokerProcess

LIMIT = 60.0
REPOSITORY = Path(__file__).parent.parent


class ControlPlaneProcess:
    """``url`` stays the same across restarts."""

    def __init__(self, home: Path, broker: BrokerProcess) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home = home
        self.broker = broker
        self.port = pick_free()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.AsyncClient:
        """Speaks to the API with the token."""
        return httpx.AsyncClient(
            base_url=f"{self.url}/api/v1", headers=self.headers, timeout=LIMIT, trust_env=False
        )

    def start(self) -> None:
        """Start and wait until it is ready."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        env = kept | {
            "RUNPLANE_HOME": str(self.home),
            "RUNPLANE_NATS_URL": self.broker.url,
            "RUNPLANE_NATS_SYS_URL": self.broker.sys_url,
            "RUNPLANE_PORT": str(self.port),
            "PYTHONPATH": paths,
        }
        with (self.home / "plane.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "control_plane.main"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + LIMIT
        while not self._ready():
            assert self._process.poll() is None, f"the control plane ended at once:\n{self.log()}"
            assert time.monotonic() < deadline, f"the control plane is not ready:\n{self.log()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(LIMIT)
            self._process = None

    def stop(self) -> None:
        """End it in order; kill where it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._process = None

    def log(self) -> str:
        return (self.home / "plane.log").read_text(errors="replace")[-6000:]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
