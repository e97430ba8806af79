"""``runplane ps``: the runs, the newest first."""

import sys
from contextlib import suppress

import click

from runplane.cli.completing import HostArgument, WorkflowArgument
from runplane.cli.run_table import run_table
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import draw, say, write_json
from runplane.cli.watch import PAGE, Watch, print_changes
from runplane.cli.watched_runs import Wanted
from runplane.client import Client, RunPage
from runplane.contract.run import AWAITING_DECISION, OPEN, Run, Status


@click.command(epilog="Example: runplane ps --stuck --watch")
@click.option("--all", "-a", "is_all", is_flag=True, help="Ended runs as well.")
@click.option(
    "--status", type=click.Choice([*map(str, Status), AWAITING_DECISION]), help="In this status alone."
)
@click.option("--workflow", type=WorkflowArgument(), help="Of this workflow alone.")
@click.option("--host", type=HostArgument(), help="On this host alone.")
@click.option("--stuck", is_flag=True, help="Those that look stuck.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many."
)
@click.option("--watch", "-w", is_flag=True, help="Keep showing them as they change; Ctrl-C ends it.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON document; with --watch one object a line for each change.",
)
def ps(
    *,
    is_all: bool,
    status: str | None,
    workflow: str | None,
    host: str | None,
    stuck: bool,
    limit: int,
    watch: bool,
    as_json: bool,
) -> None:
    """List runs: those that are open, or with --all every run."""
    statuses = tuple(filter(None, (status,))) or (() if is_all else tuple(sorted(OPEN)))

    wanted = Wanted(statuses=frozenset(statuses), workflow=workflow, host=host, stuck=stuck)

    async def work(client: Client) -> None:
        if watch:
            await _watch(Watch(client=client, wanted=wanted, limit=limit), as_json=as_json)
            return
        page = await _runs(client, statuses, workflow=workflow, host=host, stuck=stuck or None, limit=limit)
        if as_json:
            write_json(page)
        else:
            _draw(page, is_narrowed=bool(status or workflow or host or stuck), is_all=is_all)

    with suppress(KeyboardInterrupt):
        talk(work)


async def _watch(watch: Watch, *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        await print_changes(watch, as_json=as_json)
        return
    from runplane.cli.watch_terminal import Screen

    await Screen(watch).show()


async def _runs(
    client: Client,
    statuses: tuple[str, ...],
    *,
    workflow: str | None,
    host: str | None,
    stuck: bool | None,
    limit: int,
) -> RunPage:
    items: list[Run] = []
    page = RunPage()
    while len(items) < limit:
        page = await client.list_runs(
            status=statuses,
            workflow=workflow,
            host=host,
            stuck=stuck,
            limit=min(PAGE, limit - len(items)),
            cursor=page.next_cursor,
        )
        items.extend(page.items)
        if page.next_cursor is None:
            break
    return page.model_copy(update={"items": tuple(items)})


def _draw(page: RunPage, *, is_narrowed: bool, is_all: bool) -> None:
    if page.items:
        draw(run_table(page.items))
    elif is_narrowed:
        say("no run matches")
    elif is_all:
        say("no run was started yet: `runplane workflows` lists what can be run")
    else:
        say("no run is open: `runplane ps --all` lists those that ended")
    if page.total > len(page.items):
        say(
            f"{count(page.total - len(page.items), 'run')} more: narrow the list, or give --limit {page.total}"
        )
