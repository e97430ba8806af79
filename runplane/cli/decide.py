"""``runplane decide``: what becomes of a run whose attempt failed."""

from typing import cast

import click

from runplane.cli.completing import RunArgument
from runplane.cli.session import talk
from runplane.cli.terminal import one_line, write, write_json
from runplane.cli.waiting import wait_until
from runplane.client import Client, Commanded
from runplane.contract.commands import Decision
from runplane.contract.run import Run

AT_ONCE = 2.0
LIMIT = 10.0
DECISIONS = ("retry", "resume", "restart", "give-up")


@click.command(epilog="Example: runplane decide run_0dcbc991c0d4 resume --reason 'the disk has room again'")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.argument("decision", metavar="|".join(DECISIONS), type=click.Choice(DECISIONS))
@click.option("--reason", help="Why; it stands in the log.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def decide(*, run_id: str, decision: str, reason: str | None, as_json: bool) -> None:
    """Decide about RUN, which waits for a decision or for its next attempt.

    retry begins the next attempt now, where its workflow says; resume from the last checkpoint; restart from the
    beginning; give-up ends the run with the failure that it has. `runplane force-complete` and `kill` are
    possible as well.
    """

    async def work(client: Client) -> Commanded:
        before = (await client.get_run(run_id)).attempt
        chosen = cast("Decision", decision.replace("-", "_"))
        answer = await client.decide_run(run_id, chosen, reason=reason, wait=AT_ONCE)

        def goes_on(run: Run) -> bool:
            return run.status.ended or run.attempt > before

        run = await wait_until(client, answer.run, goes_on, limit=LIMIT)
        return answer.model_copy(update={"run": run})

    answer = talk(work)
    if as_json:
        write_json(answer)
        return
    run = answer.run
    if run.status.ended:
        write(f"{run.run_id} is {run.status}: {one_line(run.failure.message) if run.failure else decision}\n")
    elif run.attempt_over:
        write(f"{run.run_id} waits for a host to take attempt {run.attempt + 1}: see `runplane hosts`\n")
    else:
        write(
            f"{run.run_id} goes on: attempt {run.attempt} on {one_line(run.host or 'no host')} is {run.status}\n"
        )
