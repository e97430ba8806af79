"""``runplane force-complete``: declare a run's outcome."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import Duration
from runplane.cli.ending import FIRST_WAIT, until_ended
from runplane.cli.receipt import receipt_page
from runplane.cli.session import talk
from runplane.cli.terminal import draw, one_line, write, write_json
from runplane.cli.waiting import wait_until
from runplane.client import Client, Commanded
from runplane.contract.run import Outcome, Run

SHOWN_WITHIN = 10.0


@click.command(
    epilog="Example: runplane force-complete run_0dcbc991c0d4 --outcome completed --reason 'done by hand'"
)
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option(
    "--outcome",
    type=click.Choice(["completed", "failed"]),
    default="failed",
    show_default=True,
    help="Which.",
)
@click.option("--reason", help="Why; it stands in the log and on the run.")
@click.option("--detach", is_flag=True, help="Leave its processes alive.")
@click.option("--replace", is_flag=True, help="Also where the run has ended otherwise.")
@click.option(
    "--timeout", type=Duration(), metavar="2m", help="How long to wait for the end.  [default: grace + 60s]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def force_complete(
    *,
    run_id: str,
    outcome: Outcome,
    reason: str | None,
    detach: bool,
    replace: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Declare the outcome of RUN. Its processes are killed first, unless --detach."""

    async def work(client: Client) -> Commanded:
        answer = await client.force_complete_run(
            run_id, outcome=outcome, reason=reason, detach=detach, replace=replace, wait=FIRST_WAIT
        )
        ended = await until_ended(client, answer.run, timeout=timeout, is_quiet=as_json)
        # With --replace the run had ended before: then it is the declared outcome that is waited for.
        declared = await wait_until(client, ended, _is_declared, limit=SHOWN_WITHIN)
        return answer.model_copy(update={"run": declared})

    def _is_declared(run: Run) -> bool:
        return run.override is not None and run.override.outcome == outcome

    answer = talk(work)
    if as_json:
        write_json(answer)
        return
    run = answer.run
    if run.kill_receipt is not None and run.kill_receipt.command_id == answer.command_id:
        draw(receipt_page(run))
    if run.override is not None:
        by = f"{one_line(run.override.by)} ({run.override.via})"
        write(
            f"{run.run_id} was declared {run.override.outcome} by {by}: {one_line(run.override.observed, 400)}\n"
        )
    else:
        write(f"{run.run_id} is {run.status}\n")
