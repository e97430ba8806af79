"""The peer: ``supervisor``, by its XML-RPC API over its unix socket, with its own defaults.

It is installed into a virtual environment of its own beside the repository's (``.venv-peers/``, kept for the next
time), so that nothing of it comes near what is measured. Requests go through the same HTTP client as Runplane's.
"""

import subprocess
import time
import venv
import xmlrpc.client
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.contender import SLEEPER, VISITOR, Method, argv, quoted

VERSION = "4.3.0"
CACHE = Path(__file__).parent.parent / ".venv-peers" / f"supervisor-{VERSION}"
LIMIT_SECONDS = 20.0
_INSTALL_SECONDS = 120.0
_INTERFACE = "supervisor.rpcinterface:make_main_rpcinterface"

_PROGRAM = """
[program:{name}]
command={command}
autostart=false
autorestart=false
startsecs=0
stopsignal={signal}
{more}
"""


class PeerMissing(Exception):
    """The peer cannot be installed here: the comparison goes on without it."""


def install() -> Path:
    """The peer's ``supervisord``, installed the first time. Raises :class:`PeerMissing`."""
    program = CACHE / "bin" / "supervisord"
    if not program.exists():
        try:
            venv.create(CACHE, with_pip=True, clear=True)
            subprocess.run(
                [CACHE / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 f"supervisor=={VERSION}"],
                check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise PeerMissing(f"supervisor {VERSION} cannot be installed into {CACHE}: {said}") from None
    return program


class Supervisor:
    """A ``supervisord`` in the foreground, in a directory of its own."""

    name = "supervisor"
    version = VERSION

    def __init__(self, directory: Path, fifo: Path, *, visitors: int) -> None:
        """Write its configuration, start it, wait until it answers. ``visitors``: how many programs to declare."""
        self.fifo = fifo
        self._program = install()
        self._directory = directory
        self._sleeper = "graceful"
        self._socket = directory / "supervisor.sock"
        configuration = directory / "supervisord.conf"
        configuration.write_text(self._configuration(visitors))
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._socket)),
            base_url="http://peer",
            timeout=LIMIT_SECONDS,
        )
        with (directory / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                [self._program, "--configuration", configuration],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self) -> None:
        """Ask for its state."""
        self._rpc("supervisor.getState")

    def start(self, method: Method) -> None:
        """Start the program that is ended by this method: the signal is part of a program's configuration."""
        self._sleeper = method
        self._rpc("supervisor.startProcess", self._sleeper, False)

    def pid(self) -> int:
        """As it says itself."""
        return int(self._rpc("supervisor.getProcessInfo", self._sleeper)["pid"])

    def kill(self) -> None:
        """Stop it, and have the answer held until it is stopped."""
        if self._rpc("supervisor.stopProcess", self._sleeper, True) is not True:
            raise AssertionError("supervisor did not stop the program")

    def restart(self) -> None:
        """Stop and start: what its own command line does for a restart."""
        self.kill()
        self._rpc("supervisor.startProcess", self._sleeper, False)

    def start_many(self, count: int) -> None:
        """All in one request."""
        calls = [
            {"methodName": "supervisor.startProcess", "params": [f"visitors:visitors_{number:03}", False]}
            for number in range(count)
        ]
        refused = [result for result in self._rpc("system.multicall", calls) if result is not True]
        if refused:
            raise AssertionError(f"supervisor refused to start: {refused[0]}")

    def close(self) -> None:
        """End it, and with it every program it started."""
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _rpc(self, method: str, *arguments: Any) -> Any:
        body = xmlrpc.client.dumps(arguments, method)
        answer = self._http.post("/RPC2", content=body, headers={"Content-Type": "text/xml"})
        (result,), _ = xmlrpc.client.loads(answer.content)
        return result

    def _wait_ready(self) -> None:
        until = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                return self.call()
            except httpx.TransportError:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = (self._directory / "supervisord.out").read_text(errors="replace")
                    raise PeerMissing(f"supervisord did not come up: {said[-2000:]}") from None
            time.sleep(0.05)

    def _configuration(self, visitors: int) -> str:
        here = self._directory
        parts = [
            f"[supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n",
            f"[unix_http_server]\nfile={self._socket}\n",
            f"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = {_INTERFACE}\n",
        ]
        sleep = quoted(argv(SLEEPER, self.fifo))
        visit = quoted(argv(VISITOR, self.fifo))
        numbered = f"numprocs={visitors}\nprocess_name=%(program_name)s_%(process_num)03d"
        parts += [
            _PROGRAM.format(name="graceful", command=sleep, signal="TERM", more=""),
            _PROGRAM.format(name="force", command=sleep, signal="KILL", more=""),
            _PROGRAM.format(name="visitors", command=visit, signal="TERM", more=numbered),
        ]
        return "\n".join(parts)
