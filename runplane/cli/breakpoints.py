"""``runplane break``: where a run is to be held."""

from typing import Any

import click

from runplane.cli.completing import RunArgument
from runplane.cli.problem import Exit, Problem
from runplane.cli.session import talk
from runplane.cli.terminal import one_line, say, write, write_json
from runplane.client import Client, WithNotes
from runplane.contract.run import Run
from runplane.contract.spec import Breakpoint

WAIT = 5.0


@click.command("break", epilog="Example: runplane break run_0dcbc991c0d4 step:fetch --if 'count > 3'")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.argument("locations", metavar="[LOC]...", nargs=-1)
@click.option(
    "--if",
    "condition",
    metavar="EXPR",
    help="Only where this holds: of a step's inputs and the variables, or of a line's locals.",
)
@click.option("--clear", is_flag=True, help="Take these breakpoints away; without LOC, all of them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def set_break(
    *, run_id: str, locations: tuple[str, ...], condition: str | None, clear: bool, as_json: bool
) -> None:
    """Hold RUN where it comes to LOC: step:NAME, step:* for every step, or FILE:LINE. Without LOC: list what is set.

    Breakpoints can be set before the run starts, while it runs and while it is held.
    """
    if condition and (clear or not locations):
        raise Problem(
            "--if needs a LOC to hold at",
            hint="for example: step:fetch --if 'count > 3'",
            exit_code=Exit.USAGE,
        )

    async def work(client: Client) -> WithNotes:
        run = await client.get_run(run_id)
        if not locations and not clear:
            return WithNotes(run=run)
        wanted = _changed(run, locations, condition, clear=clear)
        return await client.set_breakpoints(run_id, wanted, wait=WAIT)

    answer = talk(work)
    if as_json:
        write_json(answer)
        return
    for note in answer.notes:
        say(f"note: {note}")
    _show(answer.run)


def _changed(
    run: Run, locations: tuple[str, ...], condition: str | None, *, clear: bool
) -> list[str | dict[str, Any]]:
    if clear:
        missing = [one for one in locations if one not in {point.location for point in run.breakpoints}]
        if missing:
            there = ", ".join(point.location for point in run.breakpoints) or "none"
            raise Problem(
                f"{run.run_id} has no breakpoint at {missing[0][:200]!r} (there are: {there})",
                exit_code=Exit.NOT_FOUND,
            )
        kept = [point for point in run.breakpoints if locations and point.location not in locations]
        return [_of(point) for point in kept]
    kept = [point for point in run.breakpoints if point.location not in locations]
    return [
        _of(point) for point in (*kept, *(Breakpoint(location=one, condition=condition) for one in locations))
    ]


def _of(point: Breakpoint) -> str | dict[str, Any]:
    if point.condition is None:
        return point.location
    return {"location": point.location, "condition": point.condition}


def _show(run: Run) -> None:
    if not run.breakpoints:
        write(f"{run.run_id} is held nowhere: no breakpoints are set\n")
        return
    for point in run.breakpoints:
        condition = f" if {one_line(point.condition)}" if point.condition else ""
        write(f"{run.run_id} is held at {one_line(point.location)}{condition}\n")
