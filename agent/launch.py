"""What an attempt is launched with: its spec, made concrete on this host. Called by the keeper."""

from pathlib import Path

from agent import environment, workspace
from agent.process.launcher import LaunchRequest
from agent.process.limit_groups import Bounds
from agent.settings import Settings
from agent.story import Story


def request_for(settings: Settings, story: Story, directory: Path) -> LaunchRequest:
    """The request for the attempt under way. Raises ``InvalidInput`` for a missing secret, OSError for a full disk."""
    spec = story.spec
    return LaunchRequest(
        run_id=story.run_id,
        attempt=story.attempt,
        directory=directory,
        argv=spec.argv,
        cwd=workspace.prepare(spec.workspace, directory),
        env=environment.build(
            spec, run_id=story.run_id, attempt=story.attempt, directory=directory, secrets=settings.secrets
        ),
        params=spec.params,
        bounds=Bounds(memory=spec.limits.memory, processes=spec.limits.processes, cpus=spec.limits.cpus),
    )
