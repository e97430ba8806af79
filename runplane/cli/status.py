"""``runplane status``: one run in full; without a run, the control plane: each check, and what there is to do."""

import click

from runplane.cli.completing import RunArgument
from runplane.cli.findings import Verdict, findings_of, show
from runplane.cli.problem import Exit
from runplane.cli.run_page import run_page
from runplane.cli.session import talk
from runplane.cli.terminal import draw, write_json


@click.command(epilog="Example: runplane status run_0dcbc991c0d4")
@click.argument("run_id", metavar="[RUN]", type=RunArgument(), required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="The run, or the control plane's health, as one JSON document."
)
def status(*, run_id: str | None, as_json: bool) -> int:
    """Show one run in full: how it stands, why, and what to type next.

    Without RUN, show how the control plane is: broker, log, disk, hosts, stuck runs, access. Exits 1 where it does
    not serve.
    """
    if run_id is None:
        return _health(as_json=as_json)
    run = talk(lambda client: client.get_run(run_id))
    if as_json:
        write_json(run)
    else:
        draw(run_page(run))
    return Exit.DONE


def _health(*, as_json: bool) -> int:
    health = talk(lambda client: client.health())
    findings = findings_of(health)
    if as_json:
        write_json(health)
    else:
        show(findings)
    is_serving = all(finding.verdict is not Verdict.FAILED for finding in findings)
    return Exit.DONE if is_serving else Exit.FAILED
