"""``runplane doctor --orphans``: processes on this machine whose run is over, and how to be rid of them.

The agent's part finds and ends them, and the control plane says which runs are over; where it cannot be asked, nothing
is ended unless that is asked for in so many words.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from runplane.cli.home import Home
from runplane.cli.problem import Exit, Problem
from runplane.cli.program import python_module
from runplane.cli.size import count
from runplane.contract.errors import NotAllowed, NotAuthenticated, NotFound, Unavailable
from runplane.contract.units import show_size

if TYPE_CHECKING:
    from runplane.client import Client

_SECONDS = 60
_OPEN, _ENDED, _DETACHED, _UNKNOWN = "open", "ended", "detached", "unknown"


def orphans(home: Home, *, reap: bool, detached: bool, force: bool) -> dict[str, Any]:
    """What was found, and with ``reap`` what was ended: ``{orphans, ended, alive, kept}``, lists of processes."""
    found = _ask(home, "list")["processes"]
    statuses = _statuses_of(sorted({str(one["run_id"]) for one in found}))
    candidates = [one | {"status": statuses[one["run_id"]]} for one in found]
    candidates = [one for one in candidates if one["status"] != _OPEN]
    result: dict[str, Any] = {"orphans": candidates, "ended": [], "alive": [], "kept": []}
    if not reap:
        return result
    allowed = {_ENDED} | ({_DETACHED} if detached else set()) | ({_UNKNOWN} if force else set())
    chosen = sorted({one["run_id"] for one in candidates if one["status"] in allowed})
    result["kept"] = [one for one in candidates if one["run_id"] not in chosen]
    return result | (_ask(home, "end", *chosen) if chosen else {})


def exit_code_of(result: dict[str, Any]) -> int:
    """Failed when something could not be ended."""
    return Exit.FAILED if result["alive"] else Exit.DONE


def show(result: dict[str, Any], *, reaped: bool) -> None:
    """For people."""
    if not result["orphans"]:
        click.echo("no process of a run that is over is left on this machine")
        return
    if not reaped:
        _list(result["orphans"])
        click.echo("\n`runplane doctor --orphans --reap` ends those whose run is over")
        _explain(result["orphans"])
        return
    for one in result["ended"]:
        click.echo(f"ended {one['pid']} of {one['run_id']}: {one['cmdline'][:100]}")
    for one in result["alive"]:
        click.echo(f"STILL THERE {one['pid']} of {one['run_id']}: {one['cmdline'][:100]}", err=True)
    if result["kept"]:
        click.echo(f"left alone: {count(len(result['kept']), 'process', 'processes')}")
        _explain(result["kept"])


def _list(processes: Iterable[dict[str, Any]]) -> None:
    for one in processes:
        click.echo(
            f"{one['pid']:>8}  {one['run_id']}  {one['status']:<10} {show_size(one['rss_bytes']):>8}  "
            f"found by {one['by']}  {one['cmdline'][:80]}"
        )


def _explain(processes: Sequence[dict[str, Any]]) -> None:
    statuses = {one["status"] for one in processes}
    if _DETACHED in statuses:
        click.echo(
            "detached: left alive on purpose (force-complete --detach); add --detached to end them too"
        )
    if _UNKNOWN in statuses:
        click.echo(
            "unknown: the control plane does not know the run or cannot be asked; add --force to end them too"
        )


def _statuses_of(run_ids: Sequence[str]) -> dict[str, str]:
    """``open``, ``detached``, ``ended`` or ``unknown``; all unknown while the control plane cannot be asked."""
    from runplane.cli.session import talk
    from runplane.client import Client

    async def look(client: Client) -> dict[str, str]:
        return {run_id: await _status(client, run_id) for run_id in run_ids}

    try:
        return talk(look) if run_ids else {}
    except (Unavailable, NotAuthenticated, NotAllowed) as error:
        click.echo(f"which runs are over is not known: {error.message}", err=True)
        return dict.fromkeys(run_ids, _UNKNOWN)


async def _status(client: "Client", run_id: str) -> str:
    try:
        run = await client.get_run(run_id)
    except NotFound:
        return _UNKNOWN
    if not run.status.ended:
        return _OPEN
    return _DETACHED if run.override is not None and run.override.detached else _ENDED


def _ask(home: Home, *arguments: str) -> dict[str, Any]:
    """The agent's part, as a program of its own: the command line never imports it."""
    try:
        answered = subprocess.run(
            [*python_module("agent.orphans"), *arguments],
            env={**os.environ, "RUNPLANE_HOME": str(home.path)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or error
        raise Problem(f"the processes of this machine could not be looked through: {said}") from None
    answer: dict[str, Any] = json.loads(answered.stdout)
    return answer
