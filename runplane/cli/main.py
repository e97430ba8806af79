"""The program ``runplane``: which verb, and how it ends.

``runplane emit`` is called by workflows in loops, so it is answered before anything of the command line is imported.
Every other error ends here: one sentence and a hint on standard error, or one JSON object there with ``--json``, and
an exit code (see ``problem``). A verb may return its exit code as an int.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["emit"]:
        from runplane.emit import main as emit

        sys.exit(emit(arguments[1:]))
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    import click

    from runplane.cli.group import runplane
    from runplane.cli.problem import Exit, exit_code_of, hint_of
    from runplane.contract.errors import RunplaneError

    as_json = "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
    try:
        outcome = runplane.main(arguments, prog_name="runplane", standalone_mode=False)
    except click.UsageError as error:
        hint = f"see `{error.ctx.command_path if error.ctx is not None else 'runplane'} --help`"
        return _complain(
            error.format_message(),
            code="usage",
            hint=hint,
            exit_code=Exit.USAGE,
            as_json=as_json,
        )
    except click.ClickException as error:
        return _complain(error.format_message(), code="failed", exit_code=Exit.FAILED, as_json=as_json)
    except RunplaneError as error:
        return _complain(
            error.message,
            code=error.error_code,
            hint=hint_of(error),
            exit_code=exit_code_of(error),
            as_json=as_json,
        )
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("RUNPLANE_DEBUG"):
            raise
        said = f"this should not have happened: {type(error).__name__}: {error}"
        hint = "run it again with RUNPLANE_DEBUG=1 to see where"
        return _complain(said, code="unexpected", hint=hint, exit_code=Exit.FAILED, as_json=as_json)
    return outcome if isinstance(outcome, int) else Exit.DONE


def _complain(message: str, *, code: str, exit_code: int, hint: str = "", as_json: bool) -> int:
    if as_json:
        import json

        problem = {"code": code, "message": message, "hint": hint, "exit_code": int(exit_code)}
        print(json.dumps({"error": problem}), file=sys.stderr)
        return int(exit_code)
    print(f"runplane: {message}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
    return int(exit_code)
