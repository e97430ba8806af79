import click
import pytest
from click.testing import CliRunner

from runplane.cli.group import runplane

MINE = (
    "run", "ps", "status", "logs", "kill", "restart", "force-complete", "events", "replay", "rebuild", "hosts",
    "workflows", "demo",
)  # fmt: skip
OF_WORKFLOWS = ("list", "show", "apply", "validate", "schema")


@pytest.mark.parametrize(
    "arguments", [(verb,) for verb in MINE] + [("workflows", verb) for verb in OF_WORKFLOWS]
)
def test_every_verb_has_help_with_an_example_and_speaks_json(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(runplane, [*arguments, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"runplane {arguments[0]}" in done.output
    assert "--json" in done.output


def test_every_option_says_what_it_does() -> None:
    for verb in MINE:
        command = runplane.get_command(click.Context(runplane), verb)
        assert command is not None
        silent = [
            option.name for option in command.params if isinstance(option, click.Option) and not option.help
        ]
        assert silent == []
