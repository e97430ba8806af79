"""``supervisor`` by its own command line, with the settings its manual has for ending whole process groups."""

import subprocess
import time
from pathlib import Path

from benchmarks import peer
from benchmarks.contender import quoted
from benchmarks.peers.manager import GRACE_SECONDS, LIMIT_SECONDS, PeerMissing

_PROGRAM = """
[program:{name}]
command={command}
autostart={autostart}
autorestart=false
startsecs=0
stopwaitsecs={grace}
stopasgroup=true
killasgroup=true
stdout_logfile={output}
stderr_logfile={output}.err
"""


class Supervisor:
    """A ``supervisord`` in the foreground; a program is added to its configuration and taken up by ``update``."""

    name = "supervisor"
    version = peer.VERSION

    def __init__(self, directory: Path) -> None:
        """Start it without a program."""
        try:
            self._bin = peer.install().parent
        except peer.PeerMissing as missing:
            raise PeerMissing(str(missing)) from None
        self._directory = directory
        self._configuration = directory / "supervisord.conf"
        self._number = 0
        self._write("")
        self._begin()

    def start(self, argv: tuple[str, ...]) -> Path:
        """Add it; ``supervisorctl update`` starts it, as it does after a crash."""
        self._number += 1
        output = self._directory / f"{self._number}.out"
        script = self._directory / f"{self._number}.sh"
        script.write_text("#!/bin/sh\nexec " + quoted(argv) + "\n")
        script.chmod(0o755)
        self._write(
            _PROGRAM.format(
                name=self._app, command=script, autostart="true", grace=round(GRACE_SECONDS), output=output
            )
        )
        self._verb("update")
        return output

    def stop(self) -> str:
        """``supervisorctl stop``; then what ``status`` says."""
        self._verb("stop", self._app)
        return self._status()

    def crash(self) -> None:
        """Kill it, and start it again."""
        self._daemon.kill()
        self._daemon.wait()
        self._begin()

    def pids(self) -> set[int]:
        """As ``supervisorctl pid`` has it."""
        said = self._verb("pid", self._app).strip()
        return {int(said)} - {0} if said.isdigit() else set()

    def close(self) -> None:
        """End it, and with it what it started."""
        self._daemon.terminate()
        try:
            self._daemon.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()

    @property
    def _app(self) -> str:
        return f"app{self._number}"

    def _status(self) -> str:
        return self._verb("status", self._app).split()[1]

    def _write(self, program: str) -> None:
        here = self._directory
        self._configuration.write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n"
            f"[unix_http_server]\nfile={here}/socket\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{here}/socket\n{program}"
        )

    def _begin(self) -> None:
        with (self._directory / "supervisord.out").open("ab") as output:
            self._daemon = subprocess.Popen(
                [self._bin / "supervisord", "--configuration", self._configuration],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + LIMIT_SECONDS
        while not self._verb("pid").strip().isdigit():
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise PeerMissing(
                    f"supervisord did not come up: {(self._directory / 'supervisord.out').read_text()}"
                )
            time.sleep(0.05)

    def _verb(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / "supervisorctl", "--configuration", self._configuration, *arguments],
            capture_output=True, text=True, timeout=LIMIT_SECONDS * 2, check=False,
        )  # fmt: skip
        return done.stdout
