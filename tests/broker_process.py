"""A real nats-server for tests: started, killed, restarted on the same port and the same files."""

import socket
import subprocess
import time
from pathlib import Path

from runplane.cli.broker import Broker, configure
from runplane.cli.home import Home
from runplane.cli.ports import LOOPBACK

LIMIT = 15.0


class BrokerProcess:
    """``url`` and ``sys_url`` carry credentials and stay the same across restarts."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(path=directory)
        self.home.create()
        self.config: Broker = configure(self.home, server_name="test")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.config.url

    @property
    def sys_url(self) -> str:
        return self.config.sys_url

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.home.logs / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(self.config.argv, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                with socket.create_connection((LOOPBACK, self.config.port), timeout=1) as connection:
                    if connection.recv(4).startswith(b"INFO"):
                        return
            except OSError:
                pass
            assert self._process.poll() is None, f"the broker ended at once:\n{self.log()}"
            assert time.monotonic() < deadline, f"the broker accepts nothing:\n{self.log()}"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
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
        self._process = None

    def restart(self) -> None:
        """Kill -9 and start again on the same files and port."""
        self.kill()
        self.start()

    def log(self) -> str:
        return (self.home.logs / "nats.log").read_text(errors="replace")[-4000:]
