"""``runplane sdk-path``: for the PYTHONPATH of a Python that does not have Runplane installed."""

import json

import click

from runplane.cli.home import find_home
from runplane.sdk_path import sdk_path as make


@click.command(epilog='Example: PYTHONPATH="$(runplane sdk-path)" /opt/other/bin/python lina.py')
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def sdk_path(*, as_json: bool) -> None:
    """Print a directory that holds the SDK alone; it is made in the home when it is not there yet."""
    directory = make(find_home().path)
    click.echo(json.dumps({"path": str(directory)}) if as_json else str(directory))
