"""``runplane step``: let a held run go on to the next place where it is held."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import show_duration
from runplane.cli.held_page import draw_held
from runplane.cli.run_words import ending_line
from runplane.cli.session import talk
from runplane.cli.terminal import write, write_json
from runplane.cli.waiting import wait_until
from runplane.client import Client
from runplane.contract.commands import DebugMode
from runplane.contract.debugging import Variables
from runplane.contract.run import Run, Status

LIMIT = 20.0


@click.command(epilog="Example: runplane step run_0dcbc991c0d4")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option(
    "--over", "mode", flag_value="over", default=True, help="At a line: to the next one. The default."
)
@click.option("--into", "mode", flag_value="into", help="At a line: into the function that it calls.")
@click.option("--out", "mode", flag_value="out", help="At a line: to where its function was called.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=LIMIT, help="Seconds to wait until it is held again."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def step(*, run_id: str, mode: DebugMode, timeout: float, as_json: bool) -> None:
    """Let RUN, which is held, go on to the next step it reports; where it is held at a line, to the next line.

    Waits until it is held again and shows its variables there.
    """

    async def work(client: Client) -> tuple[Run, Variables | None]:
        before = (await client.get_run(run_id)).held
        answer = await client.step_run(run_id, mode=mode)
        run = await wait_until(
            client,
            answer.run,
            lambda run: run.status.ended or (run.held is not None and run.held != before),
            limit=timeout,
        )
        return run, await client.variables(run_id) if run.status is Status.PAUSED else None

    run, seen = talk(work)
    if as_json:
        write_json({"run": run, "variables": seen})
    elif seen is not None:
        draw_held(run, seen)
    elif run.status.ended:
        write(f"{ending_line(run)}\n")
    else:
        write(
            f"{run.run_id} is {run.status}: it has come to no further boundary within {show_duration(timeout)}. It is "
            f"held when it does; `runplane pause {run.run_id}` stops it wherever it is\n"
        )
