"""``runplane vars``: what a run shows of its variables, and changes of them."""

import json

import click
from pydantic import JsonValue

from runplane.cli.completing import RunArgument
from runplane.cli.held_page import draw_held, draw_seen
from runplane.cli.problem import Exit, Problem
from runplane.cli.session import talk
from runplane.cli.terminal import clean, one_line, say, write, write_json
from runplane.client import Client, Evaluation
from runplane.contract.debugging import Scope, Variables, shown_value
from runplane.contract.run import Run

WAIT = 10.0
WHOLE = 2**20


@click.command("vars", epilog="Example: runplane vars run_0dcbc991c0d4 --set limit=500")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.argument("scope", required=False)
@click.option(
    "--set", "change", metavar="NAME=JSON", help="Change a variable; text is written in quotes: name='\"x\"'."
)
@click.option("--eval", "expression", metavar="EXPR", help="Evaluate this where it is held at a line.")
@click.option("--frame", type=click.IntRange(0), default=0, help="In this frame of its stack, from 0.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, values whole.")
def variables(
    *,
    run_id: str,
    scope: str | None,
    change: str | None,
    expression: str | None,
    frame: int,
    as_json: bool,
) -> int:
    """Show the variables of RUN: where it is held, or as its workflow has last shown them.

    SCOPE is one of inputs, variables, locals; SCOPE.NAME shows one variable, whole.
    """
    if expression is not None:
        return _evaluate(run_id, expression, frame, as_json=as_json)
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
    return Exit.DONE


def _evaluate(run_id: str, expression: str, frame: int, *, as_json: bool) -> int:
    async def work(client: Client) -> Evaluation:
        return await client.evaluate(run_id, expression, frame=frame, wait=WAIT)

    found = talk(work)
    if as_json:
        write_json(found)
    elif found.result is not None:
        write(f"{one_line(shown_value(found.result), WHOLE)}  ({one_line(found.result.type)})\n")
        if found.members:
            draw_seen(run_id, Variables(scopes=(Scope(name="members", variables=found.members),)))
    elif found.error is not None:
        write(f"{clean(found.error.strip())}\n")
    else:
        say(f"{run_id}: its host has not answered yet; see `runplane events {run_id}`")
    return Exit.FAILED if found.result is None else Exit.DONE


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
