"""``runplane debug``: how a run is debugged now, and what an editor needs to debug it by itself."""

import asyncio
import json
from pathlib import Path

import click

from runplane.cli.completing import RunArgument
from runplane.cli.debug_relay import relay
from runplane.cli.held_page import draw_held
from runplane.cli.home import find_home
from runplane.cli.problem import Exit, Problem
from runplane.cli.session import talk
from runplane.cli.terminal import say, write, write_json
from runplane.cli.waiting import has_ended, wait_until
from runplane.client import Client
from runplane.contract.run import Run, Status

INTERRUPTED = 130


@click.command(epilog="Example: runplane debug run_0dcbc991c0d4 --attach")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option(
    "--attach", is_flag=True, help="Let an editor debug it, until Ctrl-C: prints what VS Code needs."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="With --attach: this port of loopback."
)
@click.option(
    "--home", "directory", type=click.Path(path_type=Path), help="[default: RUNPLANE_HOME or ~/.runplane]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def debug(*, run_id: str, attach: bool, port: int, directory: Path | None, as_json: bool) -> int:
    """Show where RUN is held and what can be seen there; with --attach, let an editor debug it.

    An editor reaches it over loopback, on the host and as the user that the run's agent runs on, and only while this
    command runs. It is held and goes on by the editor's buttons as well as by runplane's.
    """

    async def look(client: Client) -> int:
        run = await client.get_run(run_id)
        if attach:
            return await _serve(client, run, _door(run, directory), port, as_json=as_json)
        seen = await client.variables(run_id)
        if as_json:
            write_json({"run": run, "variables": seen})
        elif run.status is Status.PAUSED:
            draw_held(run, seen)
        else:
            write(f"{run_id} is {run.status} and not held: `runplane break {run_id} LOC` holds it\n")
        return Exit.DONE

    try:
        return talk(look)
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(f"\n{run_id} goes on as it is; no editor can reach it any more")
        return INTERRUPTED


def _door(run: Run, directory: Path | None) -> Path:
    if run.status.ended:
        raise Problem(f"{run.run_id} is {run.status}: it is over", exit_code=Exit.CONFLICT)
    home = find_home(directory)
    door = home.path / "agent" / "runs" / run.run_id / str(run.attempt) / "debug.sock"
    if not door.exists():
        raise Problem(
            f"{run.run_id} has no debugger here: its host is {run.host or 'none yet'}, and this home is {home.path}",
            hint=f"type this on that host, as its agent's user; a run has a debugger where it was started with "
            f"`runplane run {run.workflow} --debug`, or once `runplane break {run.run_id} FILE:LINE` attached to it",
            exit_code=Exit.CONFLICT,
        )
    return door


async def _serve(client: Client, run: Run, door: Path, port: int, *, as_json: bool) -> int:
    async with relay(door, port) as served:
        configuration = {
            "name": f"Runplane {run.run_id}",
            "type": "debugpy",
            "request": "attach",
            "connect": {"host": "127.0.0.1", "port": served},
            "justMyCode": True,
        }
        if as_json:
            write_json(configuration)
        else:
            write(f"{json.dumps(configuration, indent=2)}\n")
            say("put this into .vscode/launch.json under `configurations` and start it; Ctrl-C here ends it")
        ended = await wait_until(client, run, has_ended, limit=None)
    say(f"{ended.run_id} is {ended.status}")
    return Exit.DONE
