"""``runplane run``: start a run; with ``--follow``, watch it to its end and exit with its outcome."""

import asyncio

import click

from runplane.cli.completing import HostArgument, WorkflowArgument
from runplane.cli.following import JsonView, PlainView, ProgressView, follow
from runplane.cli.parameters import read_parameters
from runplane.cli.problem import Exit
from runplane.cli.run_words import ending_line
from runplane.cli.session import talk
from runplane.cli.terminal import console, say, write, write_json
from runplane.client import Client
from runplane.contract.run import Run, Status

INTERRUPTED = 130


@click.command(epilog="Example: runplane run lina -p epic=NMSTX-187 --follow")
@click.argument("workflow", type=WorkflowArgument())
@click.option("-p", "--param", "pairs", multiple=True, metavar="KEY=VALUE", help="A parameter; repeatable.")
@click.option("--params", "file", metavar="FILE", help="Parameters from a JSON or YAML file; - reads stdin.")
@click.option("--host", type=HostArgument(), help="Run on this host.")
@click.option("--pool", help="Run in this pool instead of the workflow's.")
@click.option("--debug", is_flag=True, help="Run a Python program under a debugger; FILE:LINE does so, too.")
@click.option(
    "--break", "breakpoints", multiple=True, metavar="LOC", help="Hold it at step:NAME, step:* or FILE:LINE."
)
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Show progress and output until it ends.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key starts the run once, however often asked."
)
@click.option("--json", "as_json", is_flag=True, help="The run as JSON; with --follow one object a line.")
def run(
    *,
    workflow: str,
    pairs: tuple[str, ...],
    file: str | None,
    host: str | None,
    pool: str | None,
    debug: bool,
    breakpoints: tuple[str, ...],
    is_followed: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> int:
    """Start a run of WORKFLOW and print its id.

    With --follow the exit code is the run's outcome: 0 where it completed, 1 where it did not. Ctrl-C stops following;
    the run goes on.
    """
    if host and pool:
        raise click.UsageError("give --host or --pool, not both")
    started: list[Run] = []

    async def work(client: Client) -> int:
        definition = (await client.workflow(workflow)).definition if pairs else None
        begun = await client.start_run(
            workflow,
            read_parameters(pairs, file, definition),
            host=host,
            pool=pool,
            debug=debug,
            breakpoints=breakpoints,
            idempotency_key=idempotency_key,
        )
        started.append(begun)
        _tell_started(begun, is_followed=is_followed, as_json=as_json)
        return await _to_its_end(client, begun, as_json=as_json) if is_followed else Exit.DONE

    try:
        return talk(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        if started:
            say(f"\n{started[0].run_id} goes on. Kill it with `runplane kill {started[0].run_id}`,")
            say(f"or look again with `runplane logs {started[0].run_id} --follow`.")
        return INTERRUPTED


def _tell_started(begun: Run, *, is_followed: bool, as_json: bool) -> None:
    if as_json:
        write_json({"event": "started", "run": begun} if is_followed else begun)
    elif is_followed:
        say(f"{begun.run_id} started: {begun.workflow} version {begun.workflow_version}")
    else:
        write(f"{begun.run_id}\n")
        if console(err=True).is_terminal:
            say(f"follow it with `runplane logs {begun.run_id} --follow`")


async def _to_its_end(client: Client, begun: Run, *, as_json: bool) -> int:
    if as_json:
        ended = await follow(client, begun, JsonView())
        write_json({"event": "ended", "run": ended})
    elif console(err=True).is_terminal:
        with ProgressView().shown(begun) as view:
            ended = await follow(client, begun, view)
        say(ending_line(ended))
    else:
        ended = await follow(client, begun, PlainView())
        say(ending_line(ended))
    return Exit.DONE if ended.status is Status.COMPLETED else Exit.FAILED
