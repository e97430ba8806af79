"""``runplane restart``: kill a run if it is alive, and start it again with the same configuration."""

import click

from runplane.cli.completing import HostArgument, RunArgument
from runplane.cli.duration import Duration
from runplane.cli.ending import FIRST_WAIT, ending_summary, until_ended
from runplane.cli.parameters import read_parameters
from runplane.cli.problem import Exit, Problem
from runplane.cli.session import talk
from runplane.cli.terminal import console, one_line, say, write, write_json
from runplane.cli.waiting import wait_until
from runplane.client import Client, Restarted
from runplane.contract.run import Run, Status
from runplane.contract.workflow import WorkflowDefinition

START_WITHIN = 10.0
_NOT_YET = (Status.PENDING, Status.STARTING)


@click.command(epilog="Example: runplane restart run_0dcbc991c0d4 -p mode=healthy --reason 'was stuck'")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--resume", is_flag=True, help="Go on behind the last checkpoint.")
@click.option("-p", "--param", "pairs", multiple=True, metavar="KEY=VALUE", help="Another value; repeatable.")
@click.option("--host", type=HostArgument(), help="Start it on this host.")
@click.option("--force", is_flag=True, help="No grace for the old one.")
@click.option(
    "--grace", type=Duration(), metavar="10s", help="For the old one, instead of the workflow's own."
)
@click.option("--reason", help="Why; it stands in the log.")
@click.option(
    "--timeout", type=Duration(), metavar="2m", help="How long to wait for the end.  [default: grace + 60s]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document with both runs.")
def restart(
    *,
    run_id: str,
    resume: bool,
    pairs: tuple[str, ...],
    host: str | None,
    force: bool,
    grace: float | None,
    reason: str | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Restart RUN and print the id of the new run, which begins when every process of the old one is gone."""

    async def work(client: Client) -> int:
        params = read_parameters(pairs, None, await _definition_of(client, run_id) if pairs else None)
        before = await client.get_run(run_id)
        answer = await client.restart_run(
            run_id,
            reason=reason,
            resume=resume,
            params=params,
            host=host,
            force=force,
            grace_seconds=grace,
            wait=FIRST_WAIT,
        )
        old = answer.run or await client.get_run(run_id)
        ended = await until_ended(client, old, timeout=timeout, is_quiet=as_json)
        new = answer.new_run or await client.get_run(answer.new_run_id)
        begun = await wait_until(client, new, lambda run: run.status not in _NOT_YET, limit=START_WITHIN)
        _report(answer, ended, begun, was_open=not before.status.ended, as_json=as_json)
        if begun.failure is not None and begun.failure.kind == "restart_refused":
            raise Problem(f"{begun.run_id} will not start: {one_line(begun.failure.message)}")
        return Exit.DONE

    return talk(work)


def _report(answer: Restarted, ended: Run, begun: Run, *, was_open: bool, as_json: bool) -> None:
    if as_json:
        write_json(answer.model_copy(update={"run": ended, "new_run": begun}))
        return
    if was_open:
        say(ending_summary(ended))
    if begun.status is Status.PENDING:
        say(f"{begun.run_id} waits for a free slot in pool {begun.pool or 'default'}: see `runplane hosts`")
    else:
        say(f"{begun.run_id} is {begun.status}" + (f" on {begun.host}" if begun.host else ""))
    write(f"{begun.run_id}\n")
    if console(err=True).is_terminal:
        say(f"follow it with `runplane logs {begun.run_id} --follow`")


async def _definition_of(client: Client, run_id: str) -> WorkflowDefinition | None:
    """The version of the workflow by which the run was started."""
    run = await client.get_run(run_id)
    versions = await client.workflow_versions(run.workflow)
    return next((found.definition for found in versions if found.version == run.workflow_version), None)
