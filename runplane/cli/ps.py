"""``runplane ps``: the runs, the newest first."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import click

from runplane.cli.completing import HostArgument, WorkflowArgument
from runplane.cli.run_table import run_table
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import console, draw, say, write_json
from runplane.client import Client, RunPage
from runplane.contract.errors import Unavailable
from runplane.contract.run import OPEN, Run, Status

PAGE = 200
Look = Callable[[Client], Awaitable[RunPage]]
REDRAW_EVERY = 2.0  # samples are no records of the log: nothing tells that there is a new one
REDRAW_NOT_BEFORE = 0.25


@click.command(epilog="Example: runplane ps --stuck --watch")
@click.option("--all", "-a", "is_all", is_flag=True, help="Ended runs as well.")
@click.option("--status", type=click.Choice([str(status) for status in Status]), help="In this status alone.")
@click.option("--workflow", type=WorkflowArgument(), help="Of this workflow alone.")
@click.option("--host", type=HostArgument(), help="On this host alone.")
@click.option("--stuck", is_flag=True, help="Those that look stuck.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many."
)
@click.option("--watch", "-w", is_flag=True, help="Keep showing them; Ctrl-C ends it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; with --watch one run a line.")
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

    async def look(client: Client) -> RunPage:
        return await _runs(client, statuses, workflow=workflow, host=host, stuck=stuck or None, limit=limit)

    async def work(client: Client) -> None:
        page = await look(client)
        if watch and as_json:
            await _print_changes(client, page, look)
        elif watch:
            await _redraw(client, page, look)
        elif as_json:
            write_json(page)
        else:
            _draw(page, is_narrowed=bool(status or workflow or host or stuck), is_all=is_all)

    with suppress(KeyboardInterrupt):
        talk(work)


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


async def _redraw(client: Client, page: RunPage, look: Look) -> None:
    from rich.live import Live

    changes = asyncio.Event()
    telling = asyncio.create_task(_tell(client, changes))
    try:
        with Live(run_table(page.items), console=console(), screen=False, auto_refresh=False) as live:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changes.wait(), REDRAW_EVERY)
                await asyncio.sleep(REDRAW_NOT_BEFORE)
                changes.clear()
                page = await look(client)
                live.update(run_table(page.items), refresh=True)
    finally:
        telling.cancel()


async def _tell(client: Client, changes: asyncio.Event) -> None:
    with suppress(Unavailable):  # the next look says so
        async with aclosing(client.stream()) as records:
            async for _ in records:
                changes.set()


async def _print_changes(client: Client, page: RunPage, look: Look) -> None:
    """Every run once, and again whenever a record of the log changed it; one that left the list a last time."""
    shown = {run.run_id: run for run in page.items}
    for run in page.items:
        write_json(run)
    async with aclosing(client.stream()) as changes:
        async for change in changes:
            told = change.run
            page = await look(client)
            for run in page.items:
                if run.run_id not in shown or shown[run.run_id].seq != run.seq:
                    write_json(run)
            now = {run.run_id: run for run in page.items}
            if told is not None and told.run_id in shown and told.run_id not in now:
                write_json(told)
            shown = now
