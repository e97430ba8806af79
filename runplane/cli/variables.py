"""``runplane vars``: what a run shows of its variables, and changes of them."""

import json

import click
from pydantic import JsonValue

from runplane.cli.completing import RunArgument
from runplane.cli.held_page import draw_held, draw_seen
from runplane.cli.problem import Exit, Problem
from runplane.cli.session import talk
from runplane.cli.terminal import say, write_json
from runplane.client import Client
from runplane.contract.debugging import Variables
from runplane.contract.run import Run

WAIT = 10.0
WHOLE = 2**20


@click.command("vars", epilog="Example: runplane vars run_0dcbc991c0d4 --set limit=500")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.argument("scope", required=False)
@click.option(
    "--set", "change", metavar="NAME=JSON", help="Change a variable; text is written in quotes: name='\"x\"'."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, values whole.")
def variables(*, run_id: str, scope: str | None, change: str | None, as_json: bool) -> None:
    """Show the variables of RUN: where it is held, or as its workflow has last shown them.

    SCOPE is one of inputs, variables, locals; SCOPE.NAME shows one variable, whole.
    """
    asked, _, name = (scope or "").partition(".")
    is_full = bool(name) or as_json

    async def work(client: Client) -> tuple[Run, Variables]:
        if change is not None:
            changed, value = _change(change)
            await client.set_variable(run_id, changed, value, scope=asked or None, wait=WAIT)
        run = await client.get_run(run_id)
        return run, await client.variables(
            run_id, scope=asked or None, name=name or None, limit=WHOLE if is_full else None
        )

    run, seen = talk(work)
    if as_json:
        write_json(seen)
    elif not seen.scopes:
        say(
            f"{run_id} shows no variables: a workflow does by runplane.variables(…) or a line in reports.jsonl, and "
            f"where it is held at a step. `runplane break {run_id} 'step:*'` holds it at the next"
        )
    elif is_full or run.held is None:
        draw_seen(run_id, seen, is_full=is_full)
    else:
        draw_held(run, seen)


def _change(text: str) -> tuple[str, JsonValue]:
    name, is_given, value = text.partition("=")
    if not is_given or not name:
        raise Problem(
            f"--set {text[:80]!r}: a change is given as NAME=JSON",
            hint="--set limit=500",
            exit_code=Exit.USAGE,
        )
    try:
        found: JsonValue = json.loads(value)
    except ValueError:
        raise Problem(
            f"--set {name}: {value[:80]!r} is not JSON",
            hint=f"text is written in quotes: --set {name}='\"{value[:40]}\"'",
            exit_code=Exit.USAGE,
        ) from None
    return name, found
