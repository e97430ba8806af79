"""Commands about runs: start, kill, restart, force-complete. Each is checked, decided in advance, and published.

The decision here is advice: it spares the caller an order that cannot be carried out. Whoever owns the run decides
again. What is refused here is no command, but the event that says so stands in the run's story.
"""

from collections import OrderedDict
from collections.abc import Sequence

from control_plane.command_side.answering import (
    Accepted,
    accepted,
    conflict,
    destination,
    repeatable,
    repeated,
)
from control_plane.command_side.arguments import check_arguments, check_size
from control_plane.command_side.desk import Desk, Placed
from control_plane.command_side.lessons import Lessons
from control_plane.command_side.parameters import check_parameters
from control_plane.command_side.repetition import Repeatable, content_of
from control_plane.command_side.requests import (
    DecideRequest,
    ForceCompleteRequest,
    KillRequest,
    RestartRequest,
    StartRequest,
    breakpoints_of,
)
from control_plane.read_model import WorkflowView
from runplane.bus import CompareFailed, Expect
from runplane.contract import subjects
from runplane.contract.commands import (
    DecideRun,
    ForceCompleteRun,
    KillRun,
    RestartRun,
    StartRun,
)
from runplane.contract.errors import Conflict, NotFound
from runplane.contract.run import Actor
from runplane.contract.spec import Concurrency, RunSpec, resolve
from runplane.core.debugging import is_line
from runplane.core.decide import Rejection, decide
from runplane.core.state import RunState
from runplane.stamp import new_run_id, now

MAX_REMEMBERED_RESTARTS = 10_000


def full(workflow: str, limit: Concurrency, inside: Sequence[str]) -> str:
    """Why one more run is not let in."""
    runs = "1 run" if limit.limit == 1 else f"{limit.limit} runs"
    return (
        f"{workflow} lets {runs} be open at once (concurrency.limit), and {', '.join(inside[:5])} "
        f"{'is' if len(inside) == 1 else 'are'} open: wait for the end, or end it with runplane kill"
    )


class RunCommands:
    """Takes requests about runs."""

    def __init__(self, desk: Desk) -> None:
        """Publish through ``desk``."""
        self._desk = desk
        self._lessons = Lessons(desk.read_model)
        self._restarts: OrderedDict[str, str] = OrderedDict()

    async def start_run(
        self, request: StartRequest, actor: Actor, key: str | None = None, *, recovers: str | None = None
    ) -> Accepted:
        """Check, resolve and publish StartRun. NotFound for an unknown workflow, InvalidInput for the rest.

        ``recovers``: the run that failed and is the reason for this one.
        """
        again = repeatable(actor, key, "start", content_of(request))
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        spec = self._spec_to_start(request)
        run_id = again.run_id if again is not None else new_run_id()
        command = StartRun(
            run_id=run_id,
            spec=spec,
            recovers=recovers,
            idempotency_key=again.key if again is not None else None,
            request_digest=again.digest if again is not None else None,
        )
        subject = (
            subjects.plane_command(run_id)
            if spec.is_admitted_by_the_plane
            else subjects.host_command(spec.host, run_id)
            if spec.host
            else subjects.pool_command(spec.pool, run_id)
        )
        self._check_room(spec)
        placed = await self._place_new(command, run_id, subject=subject, actor=actor, again=again)
        return Accepted(
            command_id=placed.envelope.id, run_id=run_id, seq=placed.seq, repeated=placed.duplicate
        )

    async def kill_run(
        self, run_id: str, request: KillRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish KillRun. A run that has ended stays as it is: that is said (``already``) and written down."""
        again = repeatable(actor, key, "kill", run_id, content_of(request))
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        command = KillRun(
            run_id=run_id, reason=request.reason, force=request.force, grace_seconds=request.grace_seconds
        )
        state = await self._desk.state(run_id)
        decision = decide(state, command, now())
        if isinstance(decision, Rejection):
            placed = await self._desk.refuse(command, decision, run_id=run_id, actor=actor, again=again)
            if decision.code != "already_ended":
                raise conflict(decision, run_id)
            return accepted(placed, run_id, already=True)
        placed = await self._desk.place(
            command, subject=destination(state, command, run_id), actor=actor, again=again
        )
        return accepted(placed, run_id)

    async def restart_run(
        self, run_id: str, request: RestartRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish RestartRun into the story of the new run, which exists from then on. Conflict for a second one."""
        again = repeatable(actor, key, "restart", run_id, content_of(request))
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        state = await self._desk.state(run_id)
        command = RestartRun(
            run_id=run_id,
            new_run_id=again.run_id if again is not None else new_run_id(),
            spec=self._spec_to_restart(state, request),
            reason=request.reason,
            resume=request.resume,
            force=request.force,
            grace_seconds=request.grace_seconds,
        )
        decision = self._restarted_before(state) or decide(state, command, now())
        if isinstance(decision, Rejection):
            await self._desk.refuse(command, decision, run_id=run_id, actor=actor, again=again)
            raise conflict(decision, run_id)
        self._remember_restart(run_id, command.new_run_id)
        try:
            placed = await self._place_new(
                command,
                command.new_run_id,
                subject=destination(state, command, command.new_run_id),
                actor=actor,
                again=again,
            )
        except CompareFailed:
            self._restarts.pop(run_id, None)
            raise
        return accepted(placed, run_id, new_run_id=command.new_run_id)

    async def force_complete_run(
        self, run_id: str, request: ForceCompleteRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish ForceCompleteRun. The outcome that was already declared changes nothing (``already``)."""
        again = repeatable(actor, key, "force-complete", run_id, content_of(request))
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        command = ForceCompleteRun(
            run_id=run_id,
            outcome=request.outcome,
            reason=request.reason,
            detach=request.detach,
            replace=request.replace,
        )
        state = await self._desk.state(run_id)
        decision = decide(state, command, now())
        if isinstance(decision, Rejection):
            await self._desk.refuse(command, decision, run_id=run_id, actor=actor, again=again)
            raise conflict(decision, run_id)
        if not decision and state.run is not None and state.run.status.ended:
            return Accepted(
                command_id=self._declared_by(run_id), run_id=run_id, seq=state.run.seq, already=True
            )
        placed = await self._desk.place(
            command, subject=destination(state, command, run_id), actor=actor, again=again
        )
        return accepted(placed, run_id)

    async def decide_run(
        self, run_id: str, request: DecideRequest, actor: Actor, key: str | None = None
    ) -> Accepted:
        """Publish DecideRun. Conflict where the run waits for no decision."""
        again = repeatable(actor, key, "decide", run_id, content_of(request))
        earlier = await self._desk.earlier(again)
        if earlier is not None:
            return repeated(*earlier)
        command = DecideRun(run_id=run_id, decision=request.decision, reason=request.reason)
        state = await self._desk.state(run_id)
        decision = decide(state, command, now())
        if isinstance(decision, Rejection):
            await self._desk.refuse(command, decision, run_id=run_id, actor=actor, again=again)
            raise conflict(decision, run_id)
        placed = await self._desk.place(
            command, subject=destination(state, command, run_id), actor=actor, again=again
        )
        return accepted(placed, run_id)

    async def _place_new(
        self,
        command: StartRun | RestartRun,
        run_id: str,
        *,
        subject: str,
        actor: Actor,
        again: Repeatable | None,
    ) -> Placed:
        """Publish a command that makes a run, if no such run was asked for yet."""
        expect = Expect(subjects.run_story(run_id), 0)
        try:
            return await self._desk.place(command, subject=subject, actor=actor, again=again, expect=expect)
        except CompareFailed:
            if again is None:
                raise Conflict(
                    f"the new run id {run_id} is taken: ask again", code="run_id_taken", run_id=run_id
                ) from None
        earlier = await self._desk.earlier(again)
        if earlier is None:
            raise Conflict(
                f"the new run id {run_id} is taken: use a new key", code="run_id_taken", run_id=run_id
            )
        return Placed(envelope=earlier[1], seq=earlier[0], duplicate=True)

    def _spec_to_start(self, request: StartRequest) -> RunSpec:
        workflow = self._desk.read_model.workflow(request.workflow)
        if workflow is None:
            known = ", ".join(view.name for view in self._desk.read_model.workflows()[:20]) or "none"
            raise NotFound(
                f"there is no workflow {request.workflow} (there are: {known}): register it with "
                f"runplane workflows apply FILE",
                code="workflow_not_found",
                workflow=request.workflow,
            )
        self._check_host(request.host)
        points = breakpoints_of(request.breakpoints)
        spec = resolve(
            workflow.definition,
            workflow.version,
            check_parameters(workflow.definition, request.params),
            host=request.host,
            pool=request.pool,
            debug=request.debug or any(is_line(one.location) for one in points),
            breakpoints=points,
        )
        check_arguments(workflow.definition, spec)
        return spec.model_copy(update={"learned": self._lessons.of(spec)})

    def _spec_to_restart(self, state: RunState, request: RestartRequest) -> RunSpec:
        assert state.run is not None  # noqa: S101 — the desk finds runs only
        spec = state.spec
        if spec is None:
            raise Conflict(
                f"{state.run.run_id} has no stored configuration to start again by", code="no_spec"
            )
        self._check_host(request.host)
        host = request.host if request.host or request.pool else spec.host
        pool = request.pool or spec.pool
        if not request.params:
            return spec.model_copy(update={"host": host, "pool": pool, "breakpoints": state.run.breakpoints})
        view = self._version_of(spec)
        changed = resolve(
            view.definition,
            view.version,
            check_parameters(view.definition, {**spec.params, **request.params}),
            host=host,
            pool=pool,
            debug=spec.debug,
            breakpoints=state.run.breakpoints,
        )
        check_arguments(view.definition, changed)
        check_size(changed)
        return changed

    def _version_of(self, spec: RunSpec) -> WorkflowView:
        """The version of the workflow that the run was started by: other parameters are put into its places."""
        for view in self._desk.read_model.workflow_versions(spec.workflow):
            if view.version == spec.workflow_version:
                return view
        raise Conflict(
            f"version {spec.workflow_version} of workflow {spec.workflow} is not in the registry any more, so other "
            f"parameters cannot be put in: restart without params, or start a new run",
            code="workflow_version_gone",
            workflow=spec.workflow,
            workflow_version=spec.workflow_version,
        )

    def _check_room(self, spec: RunSpec) -> None:
        """Conflict where the workflow refuses one more run. Two that are asked for at once are told apart later."""
        limit = spec.concurrency
        if limit is None or limit.when_full != "reject":
            return
        inside, _ = self._desk.read_model.group(limit.group)
        if len(inside) >= limit.limit:
            raise Conflict(
                full(spec.workflow, limit, inside),
                code="concurrency_full",
                workflow=spec.workflow,
                runs=inside[:20],
            )

    def _check_host(self, host: str | None) -> None:
        if host is not None and self._desk.read_model.host(host) is None:
            known = ", ".join(view.host_id for view in self._desk.read_model.hosts()[:20]) or "none"
            raise NotFound(
                f"there is no host {host} (there are: {known}): see runplane hosts",
                code="host_not_found",
                host=host,
            )

    def _restarted_before(self, state: RunState) -> Rejection | None:
        """A restart that this process asked for and that the run's story does not show yet."""
        assert state.run is not None  # noqa: S101 — the desk finds runs only
        new_run_id = self._restarts.get(state.run.run_id)
        if new_run_id is None or state.run.restarted_as is not None:
            return None
        new = self._desk.read_model.run(new_run_id)
        if new is not None and new.status.ended:
            del self._restarts[state.run.run_id]
            return None
        return Rejection(
            code="already_restarted",
            message=f"{state.run.run_id} is already being restarted as {new_run_id}: restart that one",
            detail={"new_run_id": new_run_id},
        )

    def _remember_restart(self, run_id: str, new_run_id: str) -> None:
        self._restarts[run_id] = new_run_id
        while len(self._restarts) > MAX_REMEMBERED_RESTARTS:
            self._restarts.popitem(last=False)

    def _declared_by(self, run_id: str) -> str:
        """The command that the last declared outcome came of."""
        for _, envelope in reversed(self._desk.read_model.story(run_id, ("OutcomeOverridden",))):
            return envelope.command_id or envelope.id
        raise NotFound(f"no outcome of {run_id} was declared", code="no_override")
