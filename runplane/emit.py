"""``runplane emit``: what the SDK says, for shell scripts. Standard library only, as it starts once a report.

Exit codes: 0 written, or not in a run (then nothing is done, and stderr says so) · 1 it could not be written · 2 usage.
"""

import json
import math
import os
import sys
from collections.abc import Callable

from runplane.sdk import checkpoint, report
from runplane.sdk.line import NAME_LIMIT, TEXT_LIMIT, shown

USAGE = """\
Usage: runplane emit KIND ... [--json]

Reports from a shell script that runs as a run. Outside a run it does nothing.

  runplane emit progress DONE [TOTAL] [--message TEXT] [--unit UNIT]
  runplane emit step NAME started|completed|failed
                     [--inputs JSON] [--result JSON] [--error TEXT] [--expected-seconds N]
  runplane emit checkpoint JSON         a JSON object for the next attempt
  runplane emit variables JSON          a JSON object that operators may look at
  runplane emit log LEVEL TEXT          debug, info, warning, error or critical

Example:
  runplane emit progress 3 10 --message "third table of ten"
"""

LOG_LIMIT = 8192
"""Characters of a log report; what is longer belongs on stdout."""

LEVELS = ("debug", "info", "warning", "error", "critical")
STATES = ("started", "completed", "failed")

Options = dict[str, str]
Body = dict[str, object]


class UsageError(Exception):
    """The arguments make no report."""


def main(argv: list[str]) -> int:
    """Write one report by the arguments after ``emit``; the exit code."""
    if "--help" in argv or "-h" in argv:
        sys.stdout.write(USAGE)
        return 0
    try:
        words, options = _parsed(argv)
        as_json = options.pop("json", None) is not None
        body = _body(words, options)
    except UsageError as error:
        sys.stderr.write(f"runplane emit: {error}\nSee: runplane emit --help\n")
        return 2
    if not os.environ.get("RUNPLANE_DIR"):
        sys.stderr.write("runplane emit: not in a run (RUNPLANE_DIR is not set), so nothing was reported\n")
        return _said(as_json=as_json, emitted=False)
    try:
        written = _write(body)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"runplane emit: {error}\n")
        return 1
    return _said(as_json=as_json, emitted=True) if written else 1


def _write(body: Body) -> bool:
    state = body.get("checkpoint")
    if not isinstance(state, dict):
        return report(body)
    checkpoint(state)
    return True


def _said(*, as_json: bool, emitted: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"emitted": emitted}) + "\n")
    return 0


def _parsed(argv: list[str]) -> tuple[list[str], Options]:
    """Words and options (``--name VALUE`` or ``--name=VALUE``); after ``--`` everything is a word."""
    words: list[str] = []
    options: Options = {}
    rest = iter(argv)
    for argument in rest:
        if argument == "--":
            words.extend(rest)
        elif not argument.startswith("--"):
            words.append(argument)
        else:
            name, equals, value = argument[2:].partition("=")
            if name != "json" and not equals:
                given = next(rest, None)
                if given is None:
                    raise UsageError(f"--{name} needs a value")
                value = given
            options[name] = value
    return words, options


def _body(words: list[str], options: Options) -> Body:
    if not words:
        raise UsageError(f"say what to report: one of {', '.join(_KINDS)}")
    kind, *operands = words
    if kind not in _KINDS:
        raise UsageError(f"{kind!r} is nothing to report: use one of {', '.join(_KINDS)}")
    make, least, most, known = _KINDS[kind]
    if not least <= len(operands) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        raise UsageError(
            f"{kind} takes {wanted} arguments and got {len(operands)}: quote what belongs together"
        )
    for name in options:
        if name not in known:
            allowed = ", ".join(f"--{option}" for option in known) or "none"
            raise UsageError(f"{kind} has no option --{name} (it has: {allowed})")
    return make(operands, options)


def _progress(operands: list[str], options: Options) -> Body:
    names = ("done", "total")
    numbers: Body = {name: _number(text, name) for name, text in zip(names, operands, strict=False)}
    return {"progress": {**numbers, **{name: text[:TEXT_LIMIT] for name, text in options.items()}}}


def _step(operands: list[str], options: Options) -> Body:
    name, state = operands
    if state not in STATES:
        raise UsageError(f"{state!r} is no state of a step: use one of {', '.join(STATES)}")
    body: Body = {"step": name[:NAME_LIMIT], "state": state}
    for option in ("inputs", "result"):
        if option in options:
            value = _json(options[option], f"--{option}")
            body[option] = shown(value) if option == "inputs" and isinstance(value, dict) else value
    if "error" in options:
        body["error"] = options["error"][:TEXT_LIMIT]
    if "expected-seconds" in options:
        body["expected_seconds"] = _number(options["expected-seconds"], "--expected-seconds")
    return body


def _checkpoint(operands: list[str], _options: Options) -> Body:
    return {"checkpoint": _object(operands[0], "a checkpoint")}


def _variables(operands: list[str], _options: Options) -> Body:
    return {"variables": shown(_object(operands[0], "variables"))}


def _log(operands: list[str], _options: Options) -> Body:
    word, text = operands
    level = {"warn": "warning"}.get(word.lower(), word.lower())
    if level not in LEVELS:
        raise UsageError(f"{word!r} is no level: use one of {', '.join(LEVELS)}")
    return {"log": {"level": level, "message": text[:LOG_LIMIT]}}


_KINDS: dict[str, tuple[Callable[[list[str], Options], Body], int, int, tuple[str, ...]]] = {
    "progress": (_progress, 1, 2, ("message", "unit")),
    "step": (_step, 2, 2, ("inputs", "result", "error", "expected-seconds")),
    "checkpoint": (_checkpoint, 1, 1, ()),
    "variables": (_variables, 1, 1, ()),
    "log": (_log, 2, 2, ()),
}


def _number(text: str, name: str) -> float:
    try:
        number = int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise UsageError(f"{name} is a number, not {text!r}") from None
    if not math.isfinite(number):
        raise UsageError(f"{name} is a finite number, not {text!r}")
    return number


def _json(text: str, name: str) -> object:
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON ({error}): {text[:80]!r}") from None


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is not a JSON number")


def _object(text: str, name: str) -> dict[str, object]:
    value = _json(text, name)
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a JSON object, as in '{{\"name\": 1}}', not {text[:80]!r}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
