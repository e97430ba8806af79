"""Starts the debugger in a Python program that runs already and was not started with it. Called by the keeper's lines.

Python from 3.14 on takes a script to run from outside (PEP 768). An older one is stopped for a moment by gdb, which has
it run one line, as debugpy's own attaching by pid does; that needs gdb and the right to trace, and a program stopped
within its allocator may not come back from it, so it is done only where somebody asks for a breakpoint at a line.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
from pathlib import Path

from agent.debug.link import DebuggerError
from agent.debug.program import INSIDE, debugger_packages

LIMIT_SECONDS = 20.0
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_EFFECTIVE = re.compile(r"^CapEff:\s*([0-9a-f]+)", re.MULTILINE)
_SYS_PTRACE = 19
_TELLING = re.compile(r"couldn.t|cannot|no symbol|not permitted|Error", re.IGNORECASE)
_NO_REMOTE = 3
_REMOTE = (
    "import sys\n"
    f"if not hasattr(sys, 'remote_exec'): sys.exit({_NO_REMOTE})\n"
    "sys.remote_exec(int(sys.argv[1]), sys.argv[2])\n"
)
_PYTHON = re.compile(r"python(\d(\.\d+)?)?")


def why_not() -> str | None:
    """Why gdb cannot be used to attach to a program on this machine; None where it can be tried."""
    if shutil.which("gdb") is None:
        return "gdb is not installed here"
    try:
        scope = int(_YAMA.read_text())
    except (OSError, ValueError):
        scope = 0
    if scope == 0 or (_may_trace() and scope < 3):  # noqa: PLR2004 - nobody may trace at 3
        return None
    return (
        f"the kernel does not let one process trace another that is no child of it ({_YAMA} is {scope}): set it to 0, "
        f"or give the agent CAP_SYS_PTRACE"
    )


async def attach(pid: int, directory: Path) -> None:
    """Have the program of this pid start its debugger. Raises :class:`DebuggerError`; returns when it was told to."""
    if debugger_packages() is None:
        raise DebuggerError("debugpy is not installed here")
    try:
        program = Path(f"/proc/{pid}/exe").readlink()
    except OSError as error:
        raise DebuggerError(f"process {pid} cannot be looked at ({error.strerror})") from None
    if _PYTHON.fullmatch(program.name) is None:
        raise DebuggerError(f"its main process, {program.name}, is no Python program")
    script = _script(directory)
    code, said = await _run(str(program), "-I", "-c", _REMOTE, str(pid), str(script))
    if code == 0:
        return
    if code != _NO_REMOTE:
        raise DebuggerError(f"it takes no script from outside: {_reason(said)}")
    obstacle = why_not()
    if obstacle is not None:
        raise DebuggerError(obstacle)
    await _by_gdb(pid, f"exec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'))")


def _script(directory: Path) -> Path:
    """What the program is to run: one file, as the line that gdb hands over has to be short."""
    content = (
        "import importlib.util, threading\n"
        f"spec = importlib.util.spec_from_file_location('_runplane_inside', {str(INSIDE)!r})\n"
        "inside = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(inside)\n"
        "thread = threading.Thread(target=inside.begin, "
        f"args=({str(directory)!r}, {str(debugger_packages())!r}), daemon=True)\n"
        "thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True\n"
        "thread.start()\n"
    )
    path = directory / "attach.py"
    path.write_text(content)
    path.chmod(0o600)
    return path


async def _by_gdb(pid: int, line: str) -> None:
    commands = (
        "set pagination off",
        "set breakpoint pending off",
        "call (int)PyGILState_Ensure()",
        f"call (int)PyRun_SimpleString({json.dumps(line)})",
        "call (void)PyGILState_Release($1)",
    )
    arguments = [part for command in commands for part in ("-ex", command)]
    _, said = await _run("gdb", "-nx", "-batch", "-p", str(pid), *arguments)
    if "$2 = 0" not in said:
        raise DebuggerError(f"gdb could not have it run a line: {_reason(said)}")


async def _run(*command: str) -> tuple[int, str]:
    """The exit code and what was said. Raises :class:`DebuggerError` where it cannot be run, or takes too long."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
    except OSError as error:
        raise DebuggerError(f"{command[0]} cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise DebuggerError(
            f"{command[0]} has not come back within {LIMIT_SECONDS:g} s, and was ended"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace")


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = next(
        (line for line in lines if _TELLING.search(line)), lines[-1] if lines else "nothing was said"
    )
    return telling[:300]


def _may_trace() -> bool:
    try:
        found = _EFFECTIVE.search(Path("/proc/self/status").read_text())
    except OSError:
        return False
    return found is not None and bool(int(found[1], 16) >> _SYS_PTRACE & 1)
