"""The three deployables, run by command: the command line never imports them."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


def python_module(name: str) -> list[str]:
    """The command that runs a module of this installation; ``-P``: no file of the current directory is taken for it."""
    return [sys.executable, "-P", "-m", name]


def become(name: str, settings: Mapping[str, object], *, arguments: Sequence[str] = ()) -> NoReturn:
    """Replace this process by the module. Settings that are None or empty are left as the environment has them.

    Secrets go into the settings, never into the arguments, which every user of the machine can read.
    """
    given = {key: str(value) for key, value in settings.items() if value not in (None, "")}
    argv = [*python_module(name), *arguments]
    os.execve(argv[0], argv, os.environ | given)  # noqa: S606 - an argv, never a shell
