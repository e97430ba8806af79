"""``runplane up``: the whole system on this machine, in the foreground."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from runplane.cli.home import Endpoint, Home, find_home
from runplane.cli.host_id import choose_host_id
from runplane.cli.lock import held
from runplane.cli.ports import is_free, pick_free
from runplane.cli.problem import Problem
from runplane.cli.process import Identity
from runplane.cli.system import Settings, System

DEFAULT_PORT = 28_881


@click.command(epilog="Example: runplane up --workflows ./workflows")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Of the control plane; 0 picks a free one.",
)
@click.option(
    "--home",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept.  [default: RUNPLANE_HOME or ~/.runplane]",
)
@click.option(
    "--workflows",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Register every workflow file in this directory.",
)
@click.option(
    "--host-id",
    default="",
    help="Under which this machine joins.  [default: as before, or the machine's name]",
)
@click.option("--no-agent", is_flag=True, help="Control plane and broker alone.")
@click.option(
    "--nats-url",
    default="",
    envvar="RUNPLANE_NATS_URL",
    help="Use this broker instead of the embedded one. With credentials in it, set RUNPLANE_NATS_URL instead.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, the endpoint when ready.")
def up(
    *,
    port: int,
    directory: Path | None,
    workflows: Path | None,
    host_id: str,
    no_agent: bool,
    nats_url: str,
    as_json: bool,
) -> None:
    """Run the whole system: the broker, the control plane with its dashboard, and an agent.

    Ctrl-C stops it. Runs live on and are adopted by the next `up`.
    """
    home = find_home(directory)
    home.create()
    with held(home) as me:
        home.remove_endpoint()
        settings = Settings(
            port=_choose_port(port),
            host_id=choose_host_id(home, host_id),
            workflows=workflows.absolute() if workflows else None,
            with_agent=not no_agent,
            nats_url=nats_url,
        )
        asyncio.run(_serve(home, settings, me=me, as_json=as_json))


async def _serve(home: Home, settings: Settings, *, me: Identity, as_json: bool) -> None:
    def say(line: str) -> None:
        _print(_json_line(event="notice", message=line) if as_json else line, err=not as_json)

    def on_ready(endpoint: Endpoint) -> None:
        public = {
            "url": endpoint.url,
            "pids": dict(endpoint.pids),
            "host_id": endpoint.host_id,
            "home": str(home.path),
        }
        _print(_json_line(event="ready", **public) if as_json else _banner(home, endpoint))

    system = System(home, settings, me=me, say=say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, system.stop)
    await system.run(on_ready)
    _print(
        _json_line(event="stopped")
        if as_json
        else "Stopped. Runs live on; the next `runplane up` adopts them."
    )


def _choose_port(asked: int) -> int:
    if asked == 0:
        return pick_free()
    if not is_free(asked):
        raise Problem(
            f"port {asked} is taken by another program on this machine",
            hint="choose another with --port, or let one be picked with --port 0",
            code="port_taken",
        )
    return asked


def _banner(home: Home, endpoint: Endpoint) -> str:
    on_terminal = sys.stdout.isatty()
    address = f"{endpoint.url}/?token={endpoint.token}" if on_terminal else endpoint.url
    login = (
        "opens logged in; do not pass the address on"
        if on_terminal
        else f"log in with the token in {home.token_file}"
    )
    return f"""
Runplane is ready.

  Dashboard  {address}
             ({login})
  Host       {endpoint.host_id or "no agent here: start one with `runplane agent`"}
  Home       {home.path}

  Try        runplane demo                       a stuck run: found, killed, restarted
  Begin      runplane workflows apply FILE       then: runplane run NAME --follow
  Stop       Ctrl-C, or `runplane down`          runs live on and are adopted again
"""


def _json_line(**fields: object) -> str:
    import json

    return json.dumps(fields)


def _print(line: str, *, err: bool = False) -> None:
    """Print; a terminal that went away must not take the system with it."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(line, err=err)
        (sys.stderr if err else sys.stdout).flush()
