"""``runplane pause`` and ``runplane continue``: hold a run, and let it go on."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import show_duration
from runplane.cli.problem import Problem
from runplane.cli.session import talk
from runplane.cli.terminal import one_line, write, write_json
from runplane.cli.waiting import wait_until
from runplane.client import Client, Commanded
from runplane.contract.run import Run, Status

AT_ONCE = 2.0
LIMIT = 20.0


@click.command(epilog="Example: runplane pause run_0dcbc991c0d4 --reason 'the API is being migrated'")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--reason", help="Why; it stands in the log and on the run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def pause(*, run_id: str, reason: str | None, as_json: bool) -> None:
    """Stop every process of RUN where it is, and say so once all of them stand still."""

    async def work(client: Client) -> Commanded:
        answer = await client.pause_run(run_id, reason=reason, wait=AT_ONCE)
        run = await wait_until(client, answer.run, _is_held_or_over, limit=LIMIT)
        if not _is_held_or_over(run):
            raise _not_heard(run)
        return answer.model_copy(update={"run": run})

    answer = talk(work)
    if as_json:
        write_json(answer)
        return
    run = answer.run
    if run.status is Status.PAUSED:
        write(
            f"{run.run_id} is paused: all of its processes stand still. Let it go on with "
            f"`runplane continue {run.run_id}`\n"
        )
    else:
        write(f"{run.run_id} is {run.status}: it ended before it could be paused\n")


@click.command("continue", epilog="Example: runplane continue run_0dcbc991c0d4")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--reason", help="Why; it stands in the log.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def go_on(*, run_id: str, reason: str | None, as_json: bool) -> None:
    """Let RUN go on where it was paused."""

    async def work(client: Client) -> Commanded:
        before = (await client.get_run(run_id)).held
        answer = await client.continue_run(run_id, reason=reason, wait=AT_ONCE)

        def goes_on(run: Run) -> bool:
            return run.held != before  # it may be held again at once, at the next breakpoint

        run = await wait_until(client, answer.run, goes_on, limit=LIMIT)
        if not goes_on(run):
            raise _not_heard(run)
        return answer.model_copy(update={"run": run})

    answer = talk(work)
    if as_json:
        write_json(answer)
        return
    run = answer.run
    held = run.attempts[-1].held_seconds if run.attempts else 0.0
    where = f", held at {one_line(run.held.at)}" if run.held is not None and run.held.at is not None else ""
    write(f"{run.run_id} is {run.status}{where}; it was held for {show_duration(held)} in all\n")


def _is_held_or_over(run: Run) -> bool:
    return run.status is Status.PAUSED or run.status.ended


def _not_heard(run: Run) -> Problem:
    return Problem(
        f"{run.run_id} is still {run.status}: its host {one_line(run.host or 'unknown')} has not answered within "
        f"{show_duration(LIMIT)}",
        hint=f"the order stands and is carried out when the host is heard from; see `runplane hosts` and "
        f"`runplane status {run.run_id}`",
        code="not_confirmed",
    )
