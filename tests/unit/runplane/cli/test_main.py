import json
import os
import subprocess
import sys
from importlib import import_module

import click
import pytest

from runplane.cli import group, main
from runplane.cli.problem import Exit, Problem
from runplane.contract.errors import Conflict, InvalidInput, NotAllowed, NotFound, RunplaneError, Unavailable


def run(
    *arguments: str, code: str = "from runplane.cli.main import main; main()"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def broken(*, as_json: bool) -> None:  # noqa: ARG001 - only its presence matters
        raise error

    monkeypatch.setattr(group.LazyGroup, "get_command", lambda *_: broken)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunplaneError("no"), 1),
        (InvalidInput("no"), 2),
        (NotFound("no"), 3),
        (Conflict("no"), 4),
        (Unavailable("no"), 5),
        (NotAllowed("no"), 6),
        (Problem("no", exit_code=Exit.CONFLICT), 4),
        (ValueError("no"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_kind_of_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    failing(monkeypatch, error)

    with pytest.raises(SystemExit) as exit_info:
        main.main(["broken"])

    assert exit_info.value.code == code


def test_an_error_is_a_sentence_and_a_hint_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, Problem("the disk is full", hint="make room"))

    with pytest.raises(SystemExit):
        main.main(["broken"])

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "runplane: the disk is full\n  make room\n"


def test_with_json_an_error_is_one_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, NotFound("there is no run_0dcbc991c0d4"))

    with pytest.raises(SystemExit):
        main.main(["broken", "--json"])

    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], error["message"], error["exit_code"]) == (
        "not_found",
        "there is no run_0dcbc991c0d4",
        3,
    )


def test_an_unknown_verb_is_a_usage_error() -> None:
    done = run("nonsense")

    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert "runplane --help" in done.stderr


@pytest.mark.parametrize("verb", [verb for verb in group.VERBS if verb != "emit"])
def test_every_verb_is_a_command_with_help_and_an_example(verb: str) -> None:
    module, _, attribute = group.VERBS[verb].target.partition(":")
    command = getattr(import_module(module), attribute)

    said = (
        command.get_help(click.Context(command, info_name=verb)) if isinstance(command, click.Command) else ""
    )

    assert "Example" in said


def test_help_loads_no_verb_and_nothing_heavy() -> None:
    done = run("--help", code=(
        "import sys\n"
        "from runplane.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    ))  # fmt: skip

    loaded = set(done.stderr.split())
    assert all(verb in done.stdout for verb in group.VERBS)
    assert not loaded & {"pydantic", "httpx", "rich", "nats", "asyncio", "runplane.cli.up"}


def test_emit_is_answered_before_click_is_imported() -> None:
    done = run("emit", "--help", code=(
        "import sys\n"
        "from runplane.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    ))  # fmt: skip

    assert "click" not in done.stderr.split()
    assert "progress" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("runplane wait", "wait-ready"),
        ("runplane up --work", "--workflows"),
        ("runplane completion z", "zsh"),
    ],
)
def test_the_shell_completes_verbs_options_and_values(words: str, expected: str) -> None:
    environment = {
        "_RUNPLANE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "runplane.cli"],
        capture_output=True, text=True, timeout=60, check=True, env=os.environ | environment,
    )  # fmt: skip

    assert expected in done.stdout
