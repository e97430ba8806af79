"""``runplane workflows``: the registry."""

import json
from pathlib import Path
from typing import Any

import click

from runplane.cli.completing import WorkflowArgument
from runplane.cli.duration import age_of, show_ago, show_duration
from runplane.cli.labelled import labelled
from runplane.cli.run_words import NOTHING
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import draw, one_line, plain, say, write, write_json
from runplane.cli.workflow_file import read_workflow
from runplane.cli.workflow_schema import FILE_NAME, workflow_schema
from runplane.client import Client, WorkflowView
from runplane.contract.errors import NotFound
from runplane.contract.units import show_size
from runplane.contract.workflow import WorkflowDefinition

LABEL_WIDTH = 10
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    invoke_without_command=True,
    epilog="Example: runplane workflows apply lina/workflow.yaml && runplane run lina --follow",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def workflows(ctx: click.Context, *, as_json: bool) -> None:
    """List, show, apply and validate workflows."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_workflows, as_json=as_json)


@workflows.command("list", epilog="Example: runplane workflows list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_workflows(*, as_json: bool) -> None:
    """List the registered workflows."""
    found = talk(lambda client: client.workflows())
    if as_json:
        write_json({"items": found})
    elif found:
        _draw_list(found)
    else:
        say("no workflow is registered: `runplane workflows apply FILE`")


@workflows.command(epilog="Example: runplane workflows show lina")
@click.argument("name", metavar="WORKFLOW", type=WorkflowArgument())
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(*, name: str, as_json: bool) -> None:
    """Show a workflow: its command, its parameters, its limits and policies."""
    found = talk(lambda client: client.workflow(name))
    if as_json:
        write_json(found)
    else:
        _draw_one(found)


@workflows.command(epilog="Example: runplane workflows apply lina/workflow.yaml")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def apply(*, files: tuple[Path, ...], as_json: bool) -> None:
    """Register workflows. All files are checked first; where one is wrong, none is registered.

    The same definition again changes nothing; another one under the same name is the next version, and runs keep the
    version that they were started by.
    """
    definitions = [read_workflow(file) for file in files]

    async def work(client: Client) -> list[tuple[WorkflowView, str]]:
        return [await _apply(client, definition) for definition in definitions]

    applied = talk(work)
    if as_json:
        write_json({"items": [{**_facts(view), "result": result} for view, result in applied]})
        return
    for view, result in applied:
        write(f"{view.name} version {view.version} {result}\n")


@workflows.command(epilog="Example: runplane workflows validate lina/workflow.yaml")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def validate(*, files: tuple[Path, ...], as_json: bool) -> None:
    """Check workflow files, without a running system."""
    checked = [(file, read_workflow(file)) for file in files]
    if as_json:
        items = [{"file": str(file), "name": definition.name, "valid": True} for file, definition in checked]
        write_json({"items": items})
        return
    for file, definition in checked:
        params = count(len(definition.params.get("properties", {})), "parameter")
        write(f"{file}: {definition.name} is valid ({params}, workspace {definition.workspace})\n")


@workflows.command(epilog=f"Example: runplane workflows schema --output {FILE_NAME}")
@click.option("--output", "-o", type=_FILE, help="Write it to this file.")
@click.option("--json", "as_json", is_flag=True, help="On one line.")
def schema(*, output: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of a workflow file, for editors that complete and check."""
    if output is None:
        write(f"{json.dumps(workflow_schema(), indent=None if as_json else 2)}\n")
        return
    output.write_text(f"{json.dumps(workflow_schema(), indent=2)}\n")
    if as_json:
        write_json({"file": str(output)})
    else:
        say(f"written to {output}; put this at the top of a workflow file:")
        say(f"# yaml-language-server: $schema=./{output.name}")


async def _apply(client: Client, definition: WorkflowDefinition) -> tuple[WorkflowView, str]:
    try:
        before: int | None = (await client.workflow(definition.name)).version
    except NotFound:
        before = None
    view = await client.apply_workflow(definition)
    return view, "registered" if before is None else "unchanged" if before == view.version else "registered"


def _facts(view: WorkflowView) -> dict[str, Any]:
    return {"name": view.name, "version": view.version, "digest": view.digest}


def _draw_list(found: tuple[WorkflowView, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("WORKFLOW", no_wrap=True)
    table.add_column("VERSION", justify="right", no_wrap=True)
    table.add_column("POOL", no_wrap=True)
    table.add_column("APPLIED", justify="right", no_wrap=True)
    table.add_column("DESCRIPTION", no_wrap=True, overflow="ellipsis")
    for view in found:
        age = show_duration(age_of(view.applied_at)) if view.applied_at is not None else NOTHING
        table.add_row(
            view.name, str(view.version), view.definition.pool, age, plain(view.definition.description)
        )
    draw(table)


def _draw_one(view: WorkflowView) -> None:
    from rich.text import Text

    definition = view.definition
    headline = Text(view.name, style="bold")
    headline.append(f" (version {view.version})", style="dim")
    draw(labelled(headline, _lines(view, definition), label_width=LABEL_WIDTH))


def _lines(view: WorkflowView, definition: WorkflowDefinition) -> list[tuple[str, str]]:
    lines = [("about", one_line(definition.description, 400))] if definition.description else []
    if view.applied_at is not None:
        lines.append(("applied", f"{show_ago(view.applied_at)} by {one_line(view.applied_by or NOTHING)}"))
    lines.append(("command", one_line(json.dumps(list(definition.command)), 400)))
    lines.append(("workspace", one_line(definition.workspace)))
    lines.append(("pool", definition.pool))
    required = definition.params.get("required", [])
    for name, declared in definition.params.get("properties", {}).items():
        lines.append(("parameter", _parameter(name, declared, is_required=name in required)))
    if definition.timeout is not None:
        lines.append(("timeout", show_duration(definition.timeout)))
    lines.append(("kill", f"{definition.kill.signal}, grace {show_duration(definition.kill.grace)}"))
    limits = definition.limits
    shown = [
        *([f"memory {show_size(limits.memory)}"] if limits.memory is not None else []),
        *([f"{limits.cpus:g} cpus"] if limits.cpus is not None else []),
        *([count(limits.processes, "process", "processes")] if limits.processes is not None else []),
        *([f"output {show_size(limits.output)}"] if limits.output is not None else []),
    ]
    if shown:
        lines.append(("limits", ", ".join(shown)))
    if definition.retry.max_attempts > 1:
        retry = definition.retry
        lines.append(("retry", f"{count(retry.max_attempts, 'attempt')}, on {', '.join(retry.on)}"))
    lines.append(("next", f"runplane run {view.name} --follow"))
    return lines


def _parameter(name: str, declared: Any, *, is_required: bool) -> str:
    if not isinstance(declared, dict):
        return one_line(name)
    kind = declared.get("type") or (" | ".join(map(str, declared["enum"])) if "enum" in declared else "any")
    parts = [
        kind if isinstance(kind, str) else " | ".join(map(str, kind)),
        *(["required"] if is_required else []),
        *(["secret"] if declared.get("secret") is True else []),
        *([f"default {json.dumps(declared['default'])}"] if "default" in declared else []),
        *([str(declared["description"])] if declared.get("description") else []),
    ]
    return one_line(f"{name}: {', '.join(parts)}")
