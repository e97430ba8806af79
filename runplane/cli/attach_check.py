"""Whether a Python program that runs already can be attached to on this machine: it is tried on one of our own."""

import json
import re
import shutil
import subprocess
import sys

from runplane.cli.findings import Finding, Verdict

NAME = "attach"
LIMIT_SECONDS = 15.0
_ADVICE = (
    "breakpoints at lines then need a run that was started with them: `runplane run W --break FILE:LINE`"
)
_TELLING = re.compile(r"couldn.t|cannot|no symbol|not permitted|error", re.IGNORECASE)
_PROGRAM = "import sys; print('ready', flush=True); sys.stdin.readline()"
_CALLS = (
    "set pagination off",
    "call (int)PyGILState_Ensure()",
    f"call (int)PyRun_SimpleString({json.dumps('pass')})",
    "call (void)PyGILState_Release($1)",
)


def attach_check() -> Finding:
    """Python from 3.14 on needs no gdb; what is tried here is what older ones need."""
    if shutil.which("gdb") is None:
        found = "no gdb: only Python 3.14 and newer can be attached to"
        return Finding(name=NAME, verdict=Verdict.WARNING, found=found, advice=f"install gdb; {_ADVICE}")
    why = _tried()
    if why is None:
        return Finding(name=NAME, verdict=Verdict.OK, found="gdb attaches to running Python programs")
    return Finding(name=NAME, verdict=Verdict.WARNING, found=f"gdb cannot: {why}", advice=_ADVICE)


def _tried() -> str | None:
    """Why gdb could not have a program of ours run a line; None where it could."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        try:
            assert program.stdout is not None  # noqa: S101 - it is a pipe
            program.stdout.readline()
            arguments = [part for call in _CALLS for part in ("-ex", call)]
            done = subprocess.run(
                ["gdb", "-nx", "-batch", "-p", str(program.pid), *arguments],  # noqa: S607
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)[:200]
        finally:
            program.kill()
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if "$2 = 0" in said:
        return None
    return next((line for line in said if _TELLING.search(line)), said[-1] if said else "it said nothing")[
        :200
    ]
