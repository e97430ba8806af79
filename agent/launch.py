"""How an attempt is launched: its spec made concrete on this host, and what keeps it from starting. For the keeper."""

import contextlib
import logging
import signal
from pathlib import Path

from agent import environment, receipts, resuming, workspace
from agent.debug.program import debugged
from agent.debug.source import place_of
from agent.hall import Hall
from agent.line_breakpoints import files_of
from agent.process.errors import LaunchError, RunDirectoryError
from agent.process.launcher import LaunchRequest
from agent.process.limit_groups import Bounds
from agent.process.run_directory import RunDirectory
from agent.process.tree import AttemptProcess
from agent.story import Story
from runplane.contract.errors import InvalidInput
from runplane.contract.run import Failure
from runplane.core.debugging import asked_of, asks_anything, is_line

log = logging.getLogger("agent.launch")


async def launched(hall: Hall, story: Story) -> AttemptProcess | Failure:
    """The process of the attempt under way, also where an earlier agent had started it; or why there is none."""
    directory = workspace.attempt_directory(hall.settings.runs, story.run_id, story.attempt)
    try:
        _write_control(story, directory)
        await resuming.prepare(hall.bus, story, directory)
        return await hall.launcher.launch(request_for(hall, story, directory))
    except LaunchError as error:
        before = await hall.launcher.adopt(directory) if error.kind == "already_launched" else None
        return before or receipts.launch_failure(error)
    except (InvalidInput, RunDirectoryError) as error:
        return Failure(kind=error.error_code, message=error.message)
    except OSError as error:
        return Failure(kind="no_resources", message=f"the run directory cannot be made: {error}")


def _write_control(story: Story, directory: Path) -> None:
    """What is asked of the workflow at its boundaries has to be there before its first one."""
    asked = asked_of(story.state)
    if asks_anything(asked):
        RunDirectory(directory).write_control({**asked, "permits": 0, "released": []})


def _debugged(story: Story, directory: Path, cwd: str) -> tuple[str, ...] | None:
    """The command that runs it under the debugger, with its breakpoints on disk; None where it is not to be.

    ``InvalidInput`` where it cannot be held at one of its lines: who wants it held does not want it to run through.
    """
    run = story.state.run
    points = run.breakpoints if run is not None else ()
    lines = [point.location for point in points if is_line(point.location)]
    if not (story.spec.debug or lines):
        return None
    for location in lines:
        place_of(location, cwd)
    argv = debugged(story.spec.argv, directory, cwd)
    if argv is not None:
        RunDirectory(directory).write_debug({"files": files_of(points, cwd)})
    elif lines:
        raise InvalidInput(
            f"{lines[0]}: {story.spec.argv[0]} is no Python program, so it stops at no line: take the breakpoint away, "
            f"or hold it at a step that it reports (step:NAME)",
            code="not_python",
        )
    return argv


async def started_or_never(hall: Hall, directory: Path) -> AttemptProcess | None:
    """The process of an attempt that shall not begin any more; None: none is to be found, and there will be none."""
    with contextlib.suppress(OSError):  # a disk that takes no tombstone takes no process.json either
        await hall.launcher.abandon(directory, "the run was ended before it began")
    try:
        return await hall.launcher.adopt(directory)
    except RunDirectoryError as error:
        log.error("%s", error.message)  # noqa: TRY400
        return None


def request_for(hall: Hall, story: Story, directory: Path) -> LaunchRequest:
    """The request for the attempt under way. Raises ``InvalidInput`` for a missing secret, OSError for a full disk."""
    spec = story.spec
    cwd = workspace.prepare(spec.workspace, directory)
    return LaunchRequest(
        run_id=story.run_id,
        attempt=story.attempt,
        directory=directory,
        argv=_debugged(story, directory, cwd) or spec.argv,
        cwd=cwd,
        env=environment.build(
            spec,
            run_id=story.run_id,
            attempt=story.attempt,
            directory=directory,
            secrets=hall.settings.secrets,
        ),
        params=spec.params,
        lease=hall.lease.terms(spec, signal.Signals[spec.kill.signal].value),
        bounds=Bounds(memory=spec.limits.memory, processes=spec.limits.processes, cpus=spec.limits.cpus),
    )
