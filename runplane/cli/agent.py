"""``runplane agent``: this host's agent by itself, for a control plane that runs elsewhere."""

from pathlib import Path

import click

from runplane.cli.home import find_home
from runplane.cli.host_id import choose_host_id
from runplane.cli.problem import Exit, Problem
from runplane.cli.program import become


@click.command(
    epilog="Example: RUNPLANE_NATS_URL=nats://USER:PASSWORD@BROKER:4222 runplane agent --pool gpu --slots 4"
)
@click.option(
    "--home",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where journal and runs are kept.",
)
@click.option(
    "--host-id", default="", help="Under which to join.  [default: as before, or the machine's name]"
)
@click.option(
    "--nats-url",
    default="",
    envvar="RUNPLANE_NATS_URL",
    help="The broker. With credentials: RUNPLANE_NATS_URL.",
)
@click.option(
    "--pool", "pools", multiple=True, help="Serve this pool; may be given several times.  [default: default]"
)
@click.option("--slots", type=click.IntRange(min=1), help="How many runs at once.")
def agent(
    *, directory: Path | None, host_id: str, nats_url: str, pools: tuple[str, ...], slots: int | None
) -> None:
    """Run this host's agent. Runs live on when it stops, and are adopted when it starts again."""
    home = find_home(directory)
    running = home.read_endpoint()
    url = nats_url or (running.nats_url if running is not None else "")
    if not url:
        raise Problem(
            "no broker was named",
            hint="set RUNPLANE_NATS_URL to the nats_url of the control plane's endpoint.json",
            exit_code=Exit.USAGE,
        )
    home.create()
    become(
        "agent.main",
        {
            "RUNPLANE_HOME": home.path,
            "RUNPLANE_NATS_URL": url,
            "RUNPLANE_HOST_ID": choose_host_id(home, host_id),
            "RUNPLANE_POOLS": ",".join(pools),
            "RUNPLANE_SLOTS": slots,
        },
    )
