"""``runplane logs``: what a run printed, on whatever host, also after that host died."""

from contextlib import aclosing, suppress

import click

from runplane.cli.completing import RunArgument
from runplane.cli.output_printer import OutputPrinter
from runplane.cli.session import talk
from runplane.cli.terminal import console, say, write, write_json
from runplane.client import Client, OutputItem


@click.command(epilog="Example: runplane logs run_0dcbc991c0d4 --tail 20 --follow")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option(
    "--follow", "-f", is_flag=True, help="Go on until the run has ended. Ctrl-C ends only the looking."
)
@click.option("--tail", "-n", type=click.IntRange(min=0), help="The last N lines alone.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="One stream alone.")
@click.option("--attempt", type=click.IntRange(min=1), help="One attempt alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; with --follow one object a line.")
def logs(
    *, run_id: str, follow: bool, tail: int | None, stream: str | None, attempt: int | None, as_json: bool
) -> None:
    """Show a run's output. On a terminal without control sequences, in a pipe as it is."""
    on_terminal = console().is_terminal
    printer = OutputPrinter(write, on_terminal=on_terminal)

    async def stored(client: Client) -> None:
        items: list[OutputItem] = []
        cursor: str | None = None
        while True:
            page = await client.logs(run_id, tail=tail, stream=stream, attempt=attempt, cursor=cursor)
            for item in page.items:
                if as_json:
                    items.append(item)
                else:
                    printer.take(item)
            cursor = page.next_cursor
            if cursor is None:
                break
        if as_json:
            write_json({"items": items, "next_offset": page.next_offset})
        elif not page.items and on_terminal:
            say(f"{run_id} has printed nothing")

    async def coming(client: Client) -> None:
        await client.get_run(run_id)
        async with aclosing(client.follow_logs(run_id, tail=tail, stream=stream, attempt=attempt)) as items:
            async for item in items:
                if as_json:
                    write_json(item)
                else:
                    printer.take(item)

    with suppress(KeyboardInterrupt):
        talk(coming if follow else stored)
    printer.finish()
