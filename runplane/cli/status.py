"""``runplane status``: one run in full."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.run_page import run_page
from runplane.cli.session import talk
from runplane.cli.terminal import draw, write_json


@click.command(epilog="Example: runplane status run_0dcbc991c0d4")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--json", "as_json", is_flag=True, help="The run as one JSON document.")
def status(*, run_id: str, as_json: bool) -> None:
    """Show one run in full: how it stands, why, and what to type next."""
    run = talk(lambda client: client.get_run(run_id))
    if as_json:
        write_json(run)
    else:
        draw(run_page(run))
