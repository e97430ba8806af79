"""``runplane diagnose``: why a run is (or looks) stuck."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.diagnosis_page import diagnosis_page
from runplane.cli.session import talk
from runplane.cli.terminal import draw, write_json


@click.command(epilog="Example: runplane diagnose run_0dcbc991c0d4")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--last", is_flag=True, help="Show the last one that was taken; ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="The diagnosis as one JSON document.")
def diagnose(*, run_id: str, last: bool, as_json: bool) -> None:
    """Say what a run does and waits for, in one sentence, with the evidence below. The run goes on undisturbed."""
    found = talk(lambda client: client.last_diagnosis(run_id) if last else client.diagnose_run(run_id))
    if as_json:
        write_json(found)
    else:
        draw(diagnosis_page(found))
