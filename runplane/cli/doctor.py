"""``runplane doctor``: can this machine carry Runplane, and what to do where it cannot."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from runplane.cli.checks import examine
from runplane.cli.findings import Verdict, show
from runplane.cli.home import Home, find_home
from runplane.cli.plane_checks import ask_plane
from runplane.cli.problem import Exit


@click.command(epilog="Example: runplane doctor --json | jq '.checks[] | select(.verdict != \"ok\")'")
@click.option(
    "--home", "directory", type=click.Path(path_type=Path), help="[default: RUNPLANE_HOME or ~/.runplane]"
)
@click.option(
    "--orphans", "for_orphans", is_flag=True, help="List processes here whose run is over, instead."
)
@click.option("--reap", is_flag=True, help="With --orphans: end them, and say what was ended.")
@click.option(
    "--detached", is_flag=True, help="With --reap: those left alive by force-complete --detach as well."
)
@click.option(
    "--force", is_flag=True, help="With --reap: also those of runs that the control plane does not know."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def doctor(
    *, directory: Path | None, for_orphans: bool, reap: bool, detached: bool, force: bool, as_json: bool
) -> int:
    """Check versions, disk, permissions, kernel features and the clock, and the control plane where one runs here.

    Each check says what was found and what to do. Exits 1 where something essential is wrong.

    With --orphans, look for processes on this machine that belong to a run of this home which is over.
    """
    if not for_orphans and (reap or detached or force):
        raise click.UsageError("--reap, --detached and --force go with --orphans")
    if (detached or force) and not reap:
        raise click.UsageError("--detached and --force go with --reap")
    if for_orphans:
        return _orphans(find_home(directory), reap=reap, detached=detached, force=force, as_json=as_json)
    home = find_home(directory)
    findings = [*examine(home), *ask_plane(home)]
    is_fit = all(finding.verdict is not Verdict.FAILED for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": is_fit, "checks": [asdict(finding) for finding in findings]}))
    else:
        show(findings)
    return Exit.DONE if is_fit else Exit.FAILED


def _orphans(home: Home, *, reap: bool, detached: bool, force: bool, as_json: bool) -> int:
    from runplane.cli import orphans

    result = orphans.orphans(home, reap=reap, detached=detached, force=force)
    if as_json:
        click.echo(json.dumps(result))
    else:
        orphans.show(result, reaped=reap)
    return orphans.exit_code_of(result)
