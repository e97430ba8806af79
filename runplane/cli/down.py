"""``runplane down``: stop the system of a home. Runs live on, unless ``--kill-runs``."""

import asyncio
import json
from pathlib import Path

import click

from runplane.cli.home import Home, find_home
from runplane.cli.lock import holder
from runplane.cli.problem import Exit, Problem
from runplane.cli.process import holding, terminate

KILL_WITHIN = 90.0
STOP_WITHIN = 45.0  # more than the limits of all parts together
PAGE = 200
REASON = "runplane down --kill-runs"


@click.command(epilog="Example: runplane down --kill-runs")
@click.option("--kill-runs", is_flag=True, help="Kill every open run first, and wait for the proof.")
@click.option(
    "--home", "directory", type=click.Path(path_type=Path), help="[default: RUNPLANE_HOME or ~/.runplane]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def down(*, kill_runs: bool, directory: Path | None, as_json: bool) -> None:
    """Stop the system that `runplane up` runs. Runs live on and are adopted by the next `up`."""
    home = find_home(directory)
    killed = asyncio.run(_kill_runs(home)) if kill_runs else []
    pid = _stop(home)
    home.remove_endpoint()
    if as_json:
        click.echo(json.dumps({"stopped": pid is not None, "pid": pid, "killed": killed}))
    elif pid is None:
        click.echo(f"nothing ran in {home.path}")
    else:
        click.echo(
            f"stopped (pid {pid})" + (f"; {len(killed)} runs killed" if kill_runs else "; runs live on")
        )


def _stop(home: Home) -> int | None:
    """End the `up` of this home; its pid, None where there was none."""
    running = holder(home)
    if running is None:
        return None
    with holding(running) as descriptor:
        if descriptor is not None and not terminate(descriptor, limit=STOP_WITHIN):
            raise Problem(
                f"`runplane up` (pid {running.pid}) did not stop within {STOP_WITHIN:g} s",
                hint=f"end it hard with `kill -9 {running.pid}`: its parts go with it, runs live on",
            )
    return running.pid


async def _kill_runs(home: Home) -> list[str]:
    """Kill whatever is open until nothing is, and return the runs' ids. A policy may start another run meanwhile, so it
    is asked again until nothing is left; a ``Problem`` names the runs that would not end.
    """
    from runplane.cli.waiting import wait_until
    from runplane.client import Client
    from runplane.contract.errors import Conflict, Unavailable
    from runplane.contract.run import OPEN, Run

    if holder(home) is None:
        raise Problem(
            f"no system runs in {home.path}, so nobody can kill its runs",
            hint=f"start it with `runplane up --home {home.path}`: it adopts the runs that live on",
            exit_code=Exit.UNREACHABLE,
        )
    killed: set[str] = set()
    left: tuple[Run, ...] = ()
    try:
        async with asyncio.timeout(KILL_WITHIN), Client.from_environment(home.path, surface="cli") as client:
            while left := (await client.list_runs(status=sorted(OPEN), limit=PAGE)).items:
                for run in left:
                    if run.run_id not in killed:
                        try:
                            await client.kill_run(run.run_id, reason=REASON)
                        except Conflict:
                            continue  # it ended meanwhile
                        killed.add(run.run_id)
                await wait_until(client, left[0], lambda run: run.status not in OPEN, limit=None)
    except TimeoutError as error:
        named = ", ".join(f"{run.run_id} ({run.status})" for run in left[:5])
        raise Problem(
            f"{len(left)} runs are still open after {KILL_WITHIN:g} s: {named}",
            hint="the system still runs: see `runplane status RUN` for the receipt, then `runplane down`",
        ) from error
    except Unavailable as error:
        raise Problem(
            f"the runs could not be killed: {error.message}",
            hint="`runplane down` without --kill-runs stops the system and leaves the runs alive",
            exit_code=Exit.UNREACHABLE,
        ) from error
    return sorted(killed)
