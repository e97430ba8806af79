"""``runplane notify``: who is told of what, and a test of it."""

import click

from runplane.cli.duration import show_ago
from runplane.cli.problem import Exit
from runplane.cli.run_words import NOTHING
from runplane.cli.session import talk
from runplane.cli.terminal import draw, one_line, plain, say, write_json
from runplane.client import NotificationTarget, NotificationTargets, NotificationTests


@click.group(invoke_without_command=True, epilog="Example: runplane notify test oncall")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def notify(ctx: click.Context, *, as_json: bool) -> int:
    """Show who is told of stuck, failed, killed and lost runs, and test it."""
    if ctx.invoked_subcommand is not None:
        return Exit.DONE
    return int(ctx.invoke(list_targets, as_json=as_json))


@notify.command("list", epilog="Example: runplane notify list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_targets(*, as_json: bool) -> int:
    """List the targets of notifications.yaml. Exits 1 where that file cannot be used."""
    found = talk(lambda client: client.notifications())
    if as_json:
        write_json(found)
    else:
        _draw_targets(found)
    return Exit.FAILED if found.problem else Exit.DONE


@notify.command(epilog="Example: runplane notify test oncall")
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def test(*, target: str | None, as_json: bool) -> int:
    """Tell TARGET, or every target, for a test: one attempt each. Exits 1 where one was not reached."""
    found = talk(lambda client: client.test_notifications(target))
    if as_json:
        write_json(found)
    else:
        _draw_results(found)
    return Exit.DONE if all(result.delivered for result in found.results) else Exit.FAILED


def _draw_targets(found: NotificationTargets) -> None:
    from rich.table import Table

    if found.problem:
        say(f"{found.problem}")
    if not found.targets:
        say(f"nobody is told of anything: name a target in {found.path} (docs/notifications.md)")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("TARGET", "TO", "ON"):
        table.add_column(name, overflow="fold")
    for name in ("DELIVERED", "FAILED"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("LAST", overflow="fold")
    for target in found.targets:
        bad = target.problem or (target.last is not None and not target.last.delivered)
        table.add_row(
            plain(target.name, "red" if bad else ""),
            plain(target.to),
            plain(", ".join(target.on)),
            str(target.delivered),
            str(target.failed),
            plain(target.problem or _last(target)),
        )
    draw(table)


def _last(target: NotificationTarget) -> str:
    last = target.last
    if last is None:
        return NOTHING
    what = f"{last.about} {last.run_id or ''}".strip()
    became = "delivered" if last.delivered else f"failed after {last.attempts}: {last.error}"
    return f"{what}: {became} {show_ago(last.at)}"


def _draw_results(found: NotificationTests) -> None:
    if not found.results:
        say("there is no target to test: name one in notifications.yaml in the home")
    for result in found.results:
        status = f" ({result.status})" if result.status is not None else ""
        said = f"delivered{status}" if result.delivered else f"not delivered: {one_line(result.error)}"
        say(f"{one_line(result.target)}: {said}")
