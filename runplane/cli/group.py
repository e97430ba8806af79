"""The table of verbs. A verb's module is imported when the verb is used; help and completion need the table alone."""

import sys
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from runplane.cli.main import main as _program


class Verb(NamedTuple):
    """Where a verb's click command is (``module:attribute``), and what it does in a line."""

    target: str
    summary: str


VERBS: dict[str, Verb] = {
    "up": Verb("runplane.cli.up:up", "Run the whole system on this machine, in the foreground."),
    "down": Verb("runplane.cli.down:down", "Stop it; runs live on unless --kill-runs is given."),
    "wait-ready": Verb("runplane.cli.wait_ready:wait_ready", "Wait until the system is ready."),
    "doctor": Verb(
        "runplane.cli.doctor:doctor", "Check versions, disk, permissions, kernel features, clock."
    ),
    "demo": Verb("runplane.cli.demo:demo", "Play the story of a stuck run against the real system."),
    "run": Verb("runplane.cli.run:run", "Start a run of a workflow."),
    "ps": Verb("runplane.cli.ps:ps", "List runs."),
    "status": Verb("runplane.cli.status:status", "Show one run in full, or how the control plane is."),
    "diagnose": Verb(
        "runplane.cli.diagnose:diagnose", "Say why a run is (or looks) stuck, with the evidence."
    ),
    "steps": Verb("runplane.cli.steps:steps", "Show the steps that a run's workflow reported."),
    "checkpoints": Verb("runplane.cli.checkpoints:checkpoints", "List what a run can go on from."),
    "logs": Verb("runplane.cli.logs:logs", "Show a run's output, from any host."),
    "kill": Verb("runplane.cli.kill:kill", "Kill runs and wait for proof."),
    "restart": Verb(
        "runplane.cli.restart:restart", "Kill a run and start it again with the same configuration."
    ),
    "force-complete": Verb("runplane.cli.force_complete:force_complete", "Declare a run's outcome."),
    "decide": Verb("runplane.cli.decide:decide", "Decide about a run whose attempt failed."),
    "pause": Verb("runplane.cli.pause:pause", "Stop every process of a run where it is."),
    "continue": Verb("runplane.cli.pause:go_on", "Let a paused run go on."),
    "step": Verb("runplane.cli.step:step", "Let a held run go on to its next boundary or line."),
    "break": Verb("runplane.cli.breakpoints:set_break", "Hold a run where it comes to a step or a line."),
    "vars": Verb("runplane.cli.variables:variables", "Show, or change, the variables of a run."),
    "debug": Verb("runplane.cli.debug:debug", "Show where a run is held, or let an editor debug it."),
    "events": Verb("runplane.cli.events:events", "Show the audit log."),
    "replay": Verb("runplane.cli.replay:replay", "Show a run as it was at any moment."),
    "rebuild": Verb(
        "runplane.cli.rebuild:rebuild", "Build the read model anew beside the live one and compare."
    ),
    "backup": Verb("runplane.cli.backup:backup", "Save everything that the broker keeps into a directory."),
    "restore": Verb("runplane.cli.backup:restore", "Put a backup into an empty home, and prove it equal."),
    "hosts": Verb("runplane.cli.hosts:hosts", "List the hosts and what they carry."),
    "notify": Verb("runplane.cli.notify:notify", "Show who is told of what, and test it."),
    "workflows": Verb("runplane.cli.workflows:workflows", "List, show, apply and validate workflows."),
    "emit": Verb("runplane.cli.group:emit", "Report progress or a step from inside a run."),
    "sdk-path": Verb("runplane.cli.sdk_path:sdk_path", "Print a directory that holds the SDK alone."),
    "server": Verb("runplane.cli.server:server", "Run the control plane by itself."),
    "agent": Verb("runplane.cli.agent:agent", "Run this host's agent by itself."),
    "mcp": Verb("runplane.cli.mcp:mcp", "Serve the tools to an MCP client over stdio."),
    "completion": Verb("runplane.cli.completion:completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """A group that knows its verbs by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs in the order of the table, which is the order of a first day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the verb's module."""
        if cmd_name not in VERBS:
            return None
        from importlib import import_module

        module, _, attribute = VERBS[cmd_name].target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{VERBS[cmd_name].target} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The table, without loading a single verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs from the table, then the group's own options."""
        verbs = [
            CompletionItem(name, help=verb.summary)
            for name, verb in VERBS.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `runplane up`, then `runplane demo`. Shell completion: `runplane completion --help`.",
)
@click.version_option(package_name="runplane", prog_name="runplane")
def runplane() -> None:
    """Kill, restart, watch, debug and recover long-running workflow runs."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emit(arguments: tuple[str, ...]) -> None:
    """Report progress or a step from inside a run; ``main`` answers it before click is imported."""
    sys.exit(_program(["emit", *arguments]))
