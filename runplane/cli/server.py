"""``runplane server``: the control plane by itself, for a broker that runs elsewhere."""

from pathlib import Path

import click

from runplane.cli.home import find_home
from runplane.cli.ports import LOOPBACK
from runplane.cli.problem import Exit, Problem
from runplane.cli.program import become
from runplane.cli.up import DEFAULT_PORT


@click.command(
    epilog="Example: RUNPLANE_NATS_URL=nats://USER:PASSWORD@BROKER:4222 runplane server --port 28881"
)
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65_535), help="To listen on."
)
@click.option("--listen", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option(
    "--home",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the read model is kept.",
)
@click.option(
    "--workflows", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Register these."
)
@click.option(
    "--nats-url",
    default="",
    envvar="RUNPLANE_NATS_URL",
    help="The broker. With credentials: RUNPLANE_NATS_URL.",
)
def server(*, port: int, listen: str, directory: Path | None, workflows: Path | None, nats_url: str) -> None:
    """Run the control plane and its dashboard."""
    if not nats_url:
        raise Problem(
            "no broker was named",
            hint="set RUNPLANE_NATS_URL, or use `runplane up`, which brings its own",
            exit_code=Exit.USAGE,
        )
    home = find_home(directory)
    home.create()
    home.token()
    become(
        "control_plane.main",
        {
            "RUNPLANE_HOME": home.path,
            "RUNPLANE_NATS_URL": nats_url,
            "RUNPLANE_TOKEN_FILE": home.token_file,
            "RUNPLANE_LISTEN": listen,
            "RUNPLANE_PORT": port,
            "RUNPLANE_WORKFLOWS": workflows.absolute() if workflows else None,
        },
    )
