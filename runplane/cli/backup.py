"""``runplane backup`` and ``runplane restore``: everything that the broker keeps, in a directory, and back."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from runplane.cli import broker as embedded
from runplane.cli.home import Home, find_home
from runplane.cli.lock import held
from runplane.cli.ports import LOOPBACK
from runplane.cli.problem import Exit, Problem
from runplane.cli.program import python_module
from runplane.cli.size import count
from runplane.cli.terminal import write, write_json
from runplane.contract.units import show_size

LIMIT_SECONDS = 3600.0
BROKER_SECONDS = 60.0

_home = click.option(
    "--home", "directory", type=click.Path(file_okay=False, path_type=Path), help="Of which system."
)


@click.command(epilog="Example: runplane backup /var/backups/runplane/2026-03-01")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@_home
@click.option(
    "--nats-url", default="", envvar="RUNPLANE_NATS_URL", help="The broker, where it is not this home's."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def backup(*, target: Path, directory: Path | None, nats_url: str, as_json: bool) -> None:
    """Save the log, objects, timers and output into DIR, a new directory. The system goes on meanwhile."""
    home = find_home(directory)
    endpoint = home.read_endpoint()
    url = nats_url or (endpoint.nats_url if endpoint is not None else "")
    if not url:
        raise Problem(
            f"no system runs in {home.path}, and no broker was named",
            hint="start it with `runplane up`, or set RUNPLANE_NATS_URL",
            exit_code=Exit.UNREACHABLE,
        )
    said = _run("save", target, url)
    if as_json:
        write_json(said)
    else:
        write(
            f"saved {count(said['runs'], 'run')}, the log up to {said['position']}, "
            f"{show_size(said['bytes'])}: {target}\n"
            f"put it back with `runplane restore {target} --home NEW_HOME`\n"
        )


@click.command(
    epilog="Example: runplane restore /var/backups/runplane/2026-03-01 --home ~/.runplane-restored"
)
@click.argument("source", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_home
@click.option(
    "--nats-url", default="", envvar="RUNPLANE_NATS_URL", help="An empty broker to put it into instead."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def restore(*, source: Path, directory: Path | None, nats_url: str, as_json: bool) -> int:
    """Put a backup into a home without a log, and prove that it gives an equal read model; exit 1 where it does not."""
    if nats_url:
        said = _run("restore", source, nats_url)
    else:
        home = find_home(directory)
        home.create()
        with held(home), _broker(home) as url:
            said = _run("restore", source, url)
    if as_json:
        write_json(said)
    elif said["equal"]:
        write(
            f"restored {count(said['runs'], 'run')}, the log up to {said['position']}, as it was at "
            f"{said['taken_at']}: the read model is equal. Start it with `runplane up`\n"
        )
    elif said["equal"] is None:
        write(
            f"restored the log up to {said['position']}; another version made the backup, so it cannot be compared\n"
        )
    else:
        write(
            f"restored, but the read model is NOT equal to that of the backup (log position {said['position']})\n"
        )
    return Exit.FAILED if said["equal"] is False else Exit.DONE


def _run(what: str, directory: Path, nats_url: str) -> dict[str, Any]:
    """Have the control plane's own program do it."""
    done = subprocess.run(
        [*python_module("control_plane.backup"), what, str(directory.absolute())],
        env=os.environ | {"RUNPLANE_NATS_URL": nats_url},
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    try:
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise Problem(f"{what} failed without a word (exit code {done.returncode})") from None
    if "error" in said:
        raise Problem(
            said["error"],
            exit_code=Exit.CONFLICT if said.get("code") == "conflict" else Exit.FAILED,
            code=str(said.get("code")),
        )
    return said


@contextmanager
def _broker(home: Home) -> Iterator[str]:
    """The home's broker, for as long as it is needed."""
    broker = embedded.configure(home, server_name="restore")
    with (home.logs / "nats.log").open("ab") as log:
        process = subprocess.Popen(broker.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + BROKER_SECONDS
        while not _listens(broker.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"the broker did not start: see {home.logs / 'nats.log'}")
            time.sleep(0.02)
        yield broker.url
    finally:
        process.terminate()
        try:
            process.wait(BROKER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            return connection.recv(4).startswith(b"INFO")
    except OSError:
        return False
