"""``runplane hosts``: the fleet."""

import click

from runplane.cli.duration import age_of, show_age
from runplane.cli.run_words import NOTHING
from runplane.cli.session import talk
from runplane.cli.size import show_short_size
from runplane.cli.terminal import draw, plain, say, write_json
from runplane.client import HostView

_STYLES = {"online": "green", "draining": "yellow", "absent": "red"}


@click.command(epilog="Example: runplane hosts --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def hosts(*, as_json: bool) -> None:
    """List the hosts: whether they are heard from, what they carry, and what they have."""
    found = talk(lambda client: client.hosts())
    if as_json:
        write_json({"items": found})
    elif found:
        _draw(found)
    else:
        say("no host has joined: `runplane agent` makes this machine one")


def _draw(found: tuple[HostView, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("HOST", "STATUS"):
        table.add_column(name, no_wrap=True)
    for name in ("RUNS", "CPUS", "LOAD", "MEMORY", "SEEN"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("POOLS", no_wrap=True, overflow="ellipsis")
    table.add_column("BY", no_wrap=True, overflow="ellipsis")
    for host in found:
        table.add_row(
            plain(host.host_id),
            plain(host.status, _STYLES.get(host.status, "")),
            f"{host.running}/{host.slots}",
            str(host.cpus),
            f"{host.load[0]:.2f}" if host.load is not None else NOTHING,
            _memory(host),
            show_age(age_of(host.last_seen)) if host.last_seen is not None else NOTHING,
            plain(",".join(host.pools)),
            plain(host.mechanism or NOTHING),
        )
    draw(table)


def _memory(host: HostView) -> str:
    total = show_short_size(host.memory_bytes)
    if host.memory_available_bytes is None:
        return total
    return f"{show_short_size(host.memory_bytes - host.memory_available_bytes)}/{total}"
