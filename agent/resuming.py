"""Gives a resumed attempt what it goes on from, before it is started: resume.json, and the files beside it.

Called by the launch. All of it comes from the object store by the digest that stands in the order to start; what is not
there any more keeps the attempt from starting, for an attempt that begins from elsewhere would do again what was done.
"""

import json
import logging
from pathlib import Path
from typing import Any

from agent.process.run_directory import RunDirectory
from agent.story import Story
from runplane.bus import Bus
from runplane.contract.errors import InvalidInput

log = logging.getLogger("agent.resuming")


async def prepare(bus: Bus, story: Story, directory: Path) -> None:
    """Write what the attempt goes on from; nothing for one that begins at the beginning.

    ``InvalidInput`` where a part of it is not to be had, ``Unavailable`` where the broker is not.
    """
    resume = story.start.resume if story.start is not None else None
    if resume is None:
        return
    place = RunDirectory(directory)
    place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = await _document(bus, resume.digest, "what was recorded of its steps")
    begun = document.get("steps") or ()
    steps = [await _step(bus, directory, step) for step in begun if step.get("state") == "completed"]
    content: dict[str, Any] = {
        "origin": resume.origin,
        "steps": steps,
        "order": [step["key"] for step in begun],
        "sequential": document.get("sequential") is True,
        "checkpoint": None,
        "files": {},
    }
    if resume.checkpoint is not None:
        checkpoint = await _document(bus, resume.checkpoint.id, "its last checkpoint")
        content["checkpoint"] = checkpoint.get("state")
        content["checkpoint_id"] = resume.checkpoint.id
        for name, file in (checkpoint.get("files") or {}).items():
            content["files"][name] = await _file(bus, directory / "resume", str(name), str(file["digest"]))
    place.write_resume(content)


async def _document(bus: Bus, digest: str, what: str) -> dict[str, Any]:
    data = await bus.objects.get(digest)
    if data is None:
        raise _missing(what, digest)
    document = json.loads(data)
    return document if isinstance(document, dict) else {}


async def _step(bus: Bus, directory: Path, step: dict[str, Any]) -> dict[str, Any]:
    """A large result is put into a file of its own, where the workflow finds it."""
    step = {name: step.get(name) for name in ("name", "index", "key", "result")}
    result = step["result"]
    if not isinstance(result, dict) or not isinstance(result.get("$object"), str):
        return step
    name = f"{result['$object']}.json"
    values = directory / "values"
    values.mkdir(mode=0o700, exist_ok=True)
    if not await bus.objects.fetch(result["$object"], values / name):
        raise _missing(f"the result of its step {step.get('name')}", result["$object"])
    return {**step, "result": {"$file": name, "bytes": result.get("bytes", 0)}}


async def _file(bus: Bus, directory: Path, name: str, digest: str) -> str:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / name
    if not await bus.objects.fetch(digest, path):
        raise _missing(f"the file {name} of its last checkpoint", digest)
    return str(path)


def _missing(what: str, digest: str) -> InvalidInput:
    return InvalidInput(
        f"it cannot go on from where it was: {what} is not in the object store any more ({digest[:12]}): start it from "
        f"the beginning (runplane restart RUN), or restore a backup that has it",
        code="resume_missing",
    )
