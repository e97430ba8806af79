"""``pm2`` by its command line, installed by npm into ``.venv-peers/``, with its daemon in a directory of its own."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.manager import GRACE_SECONDS, LIMIT_SECONDS, PeerMissing

VERSION = "7.0.4"
CACHE = Path(__file__).parents[2] / ".venv-peers" / f"pm2-{VERSION}"
_INSTALL_SECONDS = 300.0


def install() -> Path:
    """Its command, installed the first time. Raises :class:`PeerMissing`."""
    program = CACHE / "node_modules" / ".bin" / "pm2"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                ["npm", "install", "--prefix", CACHE, "--no-audit", "--no-fund", "--silent", f"pm2@{VERSION}"],
                check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise PeerMissing(f"pm2 {VERSION} cannot be installed into {CACHE}: {said}") from None
    return program


class Pm2:
    """Its defaults, but for the grace and for not starting again what has ended by itself."""

    name = "pm2"
    version = VERSION

    def __init__(self, directory: Path) -> None:
        """Start its daemon."""
        self._program = install()
        self._home = directory / "home"
        self._directory = directory
        self._number = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PM2_", "pm_"))}
        self._env = kept | {"PM2_HOME": str(self._home), "PM2_DISABLE_VERSION_CHECK": "true"}
        self._verb("ping")

    def start(self, argv: tuple[str, ...]) -> Path:
        """As an ecosystem file says it."""
        self._number += 1
        output = self._directory / f"{self._number}.out"
        app = {
            "name": self._app, "script": argv[0], "args": list(argv[1:]), "interpreter": "none",
            "cwd": str(self._directory), "autorestart": False, "kill_timeout": round(GRACE_SECONDS * 1000),
            "out_file": str(output), "error_file": str(output.with_suffix(".err")),
        }  # fmt: skip
        file = self._directory / f"{self._number}.config.json"
        file.write_text(json.dumps({"apps": [app]}))
        self._verb("start", str(file))
        return output

    def stop(self) -> str:
        """``pm2 stop``."""
        self._verb("stop", self._app)
        return str(self._own()["pm2_env"]["status"])

    def crash(self) -> None:
        """Kill its daemon; then what its manual says to do at the next boot: ``pm2 resurrect``."""
        self._verb("save")
        daemon = int((self._home / "pm2.pid").read_text())
        os.kill(daemon, signal.SIGKILL)
        until = time.monotonic() + LIMIT_SECONDS
        while Path(f"/proc/{daemon}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        self._verb("resurrect")

    def pids(self) -> set[int]:
        """As ``pm2 jlist`` has them."""
        return {
            int(app["pid"])
            for app in self._list()
            if app["pm2_env"]["status"] == "online" and app["name"] == self._app
        }

    def close(self) -> None:
        """End its daemon."""
        self._verb("kill")

    @property
    def _app(self) -> str:
        return f"app{self._number}"

    def _own(self) -> Any:
        (app,) = [app for app in self._list() if app["name"] == self._app]
        return app

    def _list(self) -> Any:
        said = self._verb("jlist")
        return json.loads(said[said.index("[") :])

    def _verb(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._env, cwd=self._directory, capture_output=True, text=True, timeout=LIMIT_SECONDS * 2, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"pm2 {arguments[0]}: {done.stdout} {done.stderr}")
        return done.stdout
