"""``runplane steps``: the steps that a run's workflow reported."""

import json
from typing import Any

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import age_of, show_duration
from runplane.cli.run_words import NOTHING
from runplane.cli.session import talk
from runplane.cli.terminal import draw, one_line, plain, say, write_json
from runplane.client import Client, StepView
from runplane.contract.run import Run
from runplane.contract.steps import depth_of
from runplane.contract.units import show_size

_STYLES = {"completed": "green", "failed": "red"}
_LONGEST = 60


@click.command(epilog="Example: runplane steps run_0dcbc991c0d4 --json")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--value", "digest", metavar="DIGEST", help="Print one large value, whole, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with inputs and results whole.")
def steps(*, run_id: str, digest: str | None, as_json: bool) -> None:
    """Show the steps of RUN in the order in which they began: how long each took, its inputs and its result."""
    if digest is not None:
        write_json(talk(lambda client: client.value(run_id, digest)))
        return

    async def look(client: Client) -> tuple[Run, tuple[StepView, ...]]:
        return await client.get_run(run_id), await client.steps(run_id)

    run, found = talk(look)
    if as_json:
        write_json({"items": found})
    elif found:
        _draw(run, found)
    else:
        say(
            f"{run_id} has reported no steps: a workflow does by the SDK, by `runplane emit step NAME started`, or by "
            "a line in reports.jsonl"
        )


def _draw(run: Run, found: tuple[StepView, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("STEP", no_wrap=True, overflow="ellipsis", min_width=12)
    for name in ("STATE", "ATTEMPT", "TOOK"):
        table.add_column(name, no_wrap=True, justify="right" if name != "STATE" else "left")
    for name in ("INPUTS", "RESULT"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
    for step in found:
        table.add_row(
            plain("  " * depth_of(step.key) + one_line(step.name, _LONGEST)),
            plain(*_state(run, step)),
            str(step.attempt) if step.attempt is not None else NOTHING,
            _took(run, step),
            plain(_value(step.inputs)),
            plain(one_line(step.error, _LONGEST) if step.error else _value(step.result)),
        )
    draw(table)


def _is_over(run: Run, step: StepView) -> bool:
    """Whether the attempt that it belongs to goes on no more."""
    return run.status.ended or (step.attempt is not None and step.attempt < run.attempt)


def _state(run: Run, step: StepView) -> tuple[str, str]:
    if step.state == "started":
        return ("unfinished", "yellow") if _is_over(run, step) else ("running", "blue")
    return step.state, _STYLES.get(step.state, "")


def _took(run: Run, step: StepView) -> str:
    if step.duration_seconds is not None:
        return show_duration(step.duration_seconds)
    if step.started_at is None:
        return NOTHING
    if step.ended_at is not None:
        return show_duration(age_of(step.started_at, step.ended_at))
    return NOTHING if _is_over(run, step) else show_duration(age_of(step.started_at))


def _value(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("$object"), str):
        return f"{show_size(int(value.get('bytes') or 0))}: --value {value['$object']}"
    return NOTHING if value is None else one_line(json.dumps(value, ensure_ascii=False), _LONGEST)
