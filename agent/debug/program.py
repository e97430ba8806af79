"""How a Python program is started so that it runs under the debugger. Called by the keeper's launch."""

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
_PYTHON = re.compile(r"python[0-9.]*|pypy[0-9.]*")
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def debugged(argv: tuple[str, ...], directory: Path, cwd: str) -> tuple[str, ...] | None:
    """The command that runs the same program under the debugger; None where it is no Python program."""
    packages = debugger_packages()
    command = _with_interpreter(argv, cwd)
    if packages is None or command is None:
        return None
    interpreter, *arguments = command
    options, target = _split(arguments)
    if not target or target[0] == "-":
        return None
    return (interpreter, *options, str(INSIDE), str(directory), str(packages), *target)


def debugger_packages() -> Path | None:
    """Where debugpy is installed."""
    found = find_spec("debugpy")
    return Path(found.origin).parent.parent if found is not None and found.origin else None


def _with_interpreter(argv: tuple[str, ...], cwd: str) -> tuple[str, ...] | None:
    """The command with its interpreter in front: as it is, or by the first line of the script that it names."""
    if _PYTHON.fullmatch(Path(argv[0]).name):
        return argv
    path = argv[0] if "/" in argv[0] else shutil.which(argv[0])
    if path is None:
        return None
    script = os.path.join(cwd, path)  # noqa: PTH118 - an absolute one stays what it is
    try:
        with open(script, "rb") as file:  # noqa: PTH123
            first = file.readline(1_000)
    except OSError:
        return None
    words = first.removeprefix(b"#!").decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = words[2:] if len(words) > 1 and words[1] == "-S" else words[1:]
    if not words or not _PYTHON.fullmatch(Path(words[0]).name):
        return None
    return (*words, script, *argv[1:])


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The interpreter's options, and what it is to run."""
    place = 0
    while place < len(arguments):
        option = arguments[place]
        if option in _WITH_VALUE:
            place += 2
        elif option in ("-c", "-m") or not option.startswith("-") or option == "-":
            break
        elif not option.startswith("--") and option[-1] in "cm":
            return [*arguments[:place], option[:-1]], [f"-{option[-1]}", *arguments[place + 1 :]]
        else:
            place += 1
    return arguments[:place], arguments[place:]
