"""``runplane checkpoints``: what a run can go on from."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import show_clock
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import draw, one_line, plain, say, write_json
from runplane.client import CheckpointView
from runplane.contract.units import show_size

_SHOWN_DIGITS = 16


@click.command(epilog="Example: runplane checkpoints run_0dcbc991c0d4 --show 6ac53413bba68b04")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--show", "wanted", metavar="ID", help="Print one, whole, as JSON: its id, or how it begins.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def checkpoints(*, run_id: str, wanted: str | None, as_json: bool) -> None:
    """List the checkpoints of RUN, the newest last, or show one."""
    found = talk(lambda client: client.checkpoints(run_id))
    if wanted is not None:
        digest = next((one.id for one in found if one.id.startswith(wanted)), wanted)
        write_json(talk(lambda client: client.checkpoint(run_id, digest)))
    elif as_json:
        write_json({"items": found})
    elif found:
        _draw(found)
    else:
        say(f"{run_id} has stored no checkpoint: a workflow does by runplane.checkpoint(state)")


def _draw(found: tuple[CheckpointView, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("ID", "ATTEMPT", "NUMBER", "STORED", "SIZE", "FILES"):
        table.add_column(
            name, no_wrap=name != "FILES", justify="right" if name in ("ATTEMPT", "NUMBER") else "left"
        )
    for one in found:
        files = ", ".join(f"{name} {show_size(size)}" for name, size in one.files.items())
        table.add_row(
            plain(one.id[:_SHOWN_DIGITS]),
            str(one.attempt or ""),
            str(one.number),
            show_clock(one.at),
            show_size(one.bytes),
            plain("pruned" if one.pruned else one_line(files, 60)),
        )
    draw(table)
    left = sum(1 for one in found if not one.pruned)
    say(f"{count(left, 'checkpoint')} can be gone on from; `runplane restart RUN --resume` takes the last")
