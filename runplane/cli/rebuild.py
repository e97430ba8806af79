"""``runplane rebuild``: the read model built anew from the log, beside the live one, and both compared."""

import json

import click

from runplane.cli.problem import Exit
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import one_line, write, write_json


@click.command(epilog="Example: runplane rebuild --json")
@click.option("--json", "as_json", is_flag=True, help='One JSON document: {"equal": true, …}.')
def rebuild(*, as_json: bool) -> int:
    """Rebuild the read model from the log and say whether it equals the live one; exit 1 where it does not."""
    found = talk(lambda client: client.rebuild())
    if as_json:
        write_json(found)
    elif found.equal:
        write(f"equal: {count(found.runs, 'run')} rebuilt from the log up to {found.position}\n")
    else:
        difference = one_line(json.dumps(found.first_difference), 2000)
        write(f"not equal at log position {found.position}; the first difference: {difference}\n")
    return Exit.DONE if found.equal else Exit.FAILED
