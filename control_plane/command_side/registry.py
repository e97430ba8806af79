"""The registry of workflows: each version an event, the order of versions kept by compare-and-set."""

import hashlib
import json
from dataclasses import dataclass

from control_plane.command_side.arguments import MAX_ARGUMENT_BYTES
from control_plane.command_side.desk import CATCH_UP_SECONDS, Desk
from control_plane.command_side.parameters import check_schema, problem, refuse, shortened
from control_plane.command_side.repetition import Repeatable
from control_plane.read_model import WorkflowView
from runplane.bus import CompareFailed, Expect
from runplane.contract.envelope import MAX_RECORD_BYTES
from runplane.contract.errors import Conflict, InvalidInput, NotFound
from runplane.contract.events import WorkflowApplied, WorkflowDeleted
from runplane.contract.run import Actor
from runplane.contract.subjects import workflow_event
from runplane.contract.workflow import WorkflowDefinition

MAX_TRIES = 8
MAX_DEFINITION_BYTES = MAX_RECORD_BYTES // 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """The version that stands now; ``created`` where the name was free, ``changed`` where it is a new version."""

    name: str
    version: int
    digest: str
    seq: int
    created: bool
    changed: bool


class WorkflowRegistry:
    """Registers and removes workflows."""

    def __init__(self, desk: Desk) -> None:
        """Publish through ``desk``."""
        self._desk = desk

    async def apply_workflow(
        self, definition: WorkflowDefinition, actor: Actor, key: str | None = None
    ) -> Applied:
        """Register a version; the definition that stands already is not registered twice."""
        _check(definition)
        digest = digest_of(definition)
        again = (
            Repeatable.of(actor.principal, key, "apply", definition.name, digest) if key is not None else None
        )
        earlier = await self._desk.earlier(again)
        if earlier is not None and isinstance(earlier[1].data, WorkflowApplied):
            data = earlier[1].data
            return Applied(
                name=definition.name,
                version=data.version,
                digest=data.digest,
                seq=earlier[0],
                created=data.version == 1,
                changed=True,
            )
        for _ in range(MAX_TRIES):
            versions = self._desk.read_model.workflow_versions(definition.name)
            last = versions[-1] if versions else None
            if last is not None and not last.deleted and last.digest == digest:
                return Applied(
                    name=last.name,
                    version=last.version,
                    digest=digest,
                    seq=last.seq,
                    created=False,
                    changed=False,
                )
            data = WorkflowApplied(
                definition=definition, version=last.version + 1 if last else 1, digest=digest
            )
            try:
                placed = await self._desk.place(
                    data,
                    subject=workflow_event(definition.name),
                    actor=actor,
                    again=again,
                    expect=_expect(definition.name, last),
                )
            except CompareFailed:
                await self._desk.catch_up()
                continue
            await self._desk.read_model.wait_for(placed.seq, CATCH_UP_SECONDS)
            return Applied(
                name=definition.name,
                version=data.version,
                digest=digest,
                seq=placed.seq,
                created=last is None or last.deleted,
                changed=True,
            )
        raise _contended(definition.name)

    async def delete_workflow(self, name: str, actor: Actor, key: str | None = None) -> int:
        """Remove a workflow; returns the log position. Its runs keep their configuration."""
        again = Repeatable.of(actor.principal, key, "delete", name) if key is not None else None
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return earlier[0]
        for _ in range(MAX_TRIES):
            view = self._desk.read_model.workflow(name)
            if view is None:
                raise workflow_not_found(name)
            try:
                placed = await self._desk.place(
                    WorkflowDeleted(name=name),
                    subject=workflow_event(name),
                    actor=actor,
                    again=again,
                    expect=_expect(name, view),
                )
            except CompareFailed:
                await self._desk.catch_up()
                continue
            await self._desk.read_model.wait_for(placed.seq, CATCH_UP_SECONDS)
            return placed.seq
        raise _contended(name)


def digest_of(definition: WorkflowDefinition) -> str:
    """The digest by which two definitions are told apart: sha256 of canonical JSON."""
    document = definition.model_dump(mode="json", by_alias=True)
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def workflow_not_found(name: str) -> NotFound:
    """There is no workflow of this name."""
    return NotFound(
        f"there is no workflow {name[:80]!r}: see runplane workflows",
        code="workflow_not_found",
        workflow=name[:80],
    )


def _check(definition: WorkflowDefinition) -> None:
    workspace = definition.workspace
    if workspace not in ("temporary", "kept") and not workspace.startswith("/"):
        raise refuse(
            [
                problem(
                    "workspace",
                    f"workspace is {shortened(workspace)}: over HTTP there is no file it could be relative to, so give "
                    f"an absolute path, temporary or kept",
                    shortened(workspace),
                )
            ]
        )
    if definition.files and workspace in ("temporary", "kept"):
        raise refuse(
            [
                problem(
                    "files",
                    "files cannot be shipped into a fresh workspace by this version: give workspace the absolute path "
                    "of a directory that holds them on every host, and leave files out",
                )
            ]
        )
    for index, argument in enumerate(definition.command):
        if len(argument.encode()) > MAX_ARGUMENT_BYTES:
            field = f"command[{index}]"
            raise refuse(
                [problem(field, f"{field} is longer than the {MAX_ARGUMENT_BYTES} bytes the kernel takes")]
            )
    size = len(definition.model_dump_json(by_alias=True))
    if size > MAX_DEFINITION_BYTES:
        raise InvalidInput(
            f"the definition is {size} bytes: at most {MAX_DEFINITION_BYTES} are registered",
            errors=[problem("definition", f"{size} bytes, {MAX_DEFINITION_BYTES} are possible")],
        )
    check_schema(definition)


def _expect(name: str, last: WorkflowView | None) -> Expect:
    return Expect(workflow_event(name), last.seq if last is not None else 0)


def _contended(name: str) -> Conflict:
    return Conflict(
        f"workflow {name} is being changed by others at the same time: ask again", code="contended"
    )
