"""``runplane wait-ready``: for scripts that start `up` in the background."""

import json
import os
import time
from pathlib import Path

import click

from runplane.cli.home import Home, find_home
from runplane.cli.lock import holder
from runplane.cli.problem import Exit, Problem
from runplane.cli.readiness import ask_until, plane_is_ready, system_is_ready


@click.command(epilog="Example: runplane up & runplane wait-ready --timeout 60 && runplane run lina")
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(min=0), help="Seconds.")
@click.option(
    "--home", "directory", type=click.Path(path_type=Path), help="[default: RUNPLANE_HOME or ~/.runplane]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def wait_ready(*, timeout: float, directory: Path | None, as_json: bool) -> None:
    """Wait until the system is ready: broker, control plane and agent.

    With RUNPLANE_URL set, that control plane is waited for; otherwise the system of the home.
    """
    home, remote = find_home(directory), os.environ.get("RUNPLANE_URL", "").rstrip("/")
    began = time.monotonic()
    is_ready = (lambda: plane_is_ready(remote)) if remote and directory is None else (lambda: _is_ready(home))
    if not ask_until(is_ready, timeout):
        raise _not_ready(home, remote, timeout)
    url = remote or getattr(home.read_endpoint(), "url", "")
    if as_json:
        click.echo(
            json.dumps({"ready": True, "url": url, "waited_seconds": round(time.monotonic() - began, 3)})
        )
    else:
        click.echo(f"ready: {url}")


def _is_ready(home: Home) -> bool:
    endpoint = home.read_endpoint()
    return endpoint is not None and holder(home) is not None and system_is_ready(endpoint)


def _not_ready(home: Home, remote: str, timeout: float) -> Problem:
    late = f"not ready within {timeout:g} s"
    if remote:
        return Problem(f"{remote} is {late}", exit_code=Exit.UNREACHABLE)
    running = holder(home)
    if running is None:
        return Problem(
            f"{late}: no `runplane up` runs in {home.path}",
            hint=f"start one with `runplane up --home {home.path}`",
            exit_code=Exit.UNREACHABLE,
        )
    return Problem(
        f"{late}, though `runplane up` runs in {home.path} (pid {running.pid})",
        hint=f"see what its parts say in {home.logs}",
        exit_code=Exit.UNREACHABLE,
    )
