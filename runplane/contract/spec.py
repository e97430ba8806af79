"""A run's resolved configuration: everything an agent needs to start it, and nothing it has to look up.

A restart uses the spec of the run it restarts, so it works as well when the workflow was changed or
deleted since. No secret value is ever in a spec: only ``secret:NAME`` references, resolved on the agent.
"""

import json
from typing import Any, Literal

from pydantic import Field, JsonValue

from runplane.contract.errors import InvalidInput
from runplane.contract.ids import HostId, PoolName, WorkflowName, derive_record_id
from runplane.contract.value import Value
from runplane.contract.workflow import (
    PLACEHOLDER,
    SECRET_PREFIX,
    DisconnectPolicy,
    KillPolicy,
    Limits,
    ProgressPattern,
    RecoveryPolicy,
    RetryPolicy,
    StuckPolicy,
    Timeouts,
    WorkflowDefinition,
)


class Breakpoint(Value):
    """Where a run is to be held, and on what condition.

    ``location``: ``step:NAME``, ``step:*`` or ``FILE:LINE``.
    """

    location: str
    condition: str | None = None


class Concurrency(Value):
    """How many runs of one group may be open at once. ``group`` names the workflow and the value of its key."""

    group: str
    limit: int
    when_full: Literal["queue", "reject", "replace"]


class Usual(Value):
    """How long something took in earlier runs, in seconds, and from when on it is out of the ordinary."""

    times: int
    usual: float
    longest: float
    limit: float


class Learned(Value):
    """What earlier runs of the workflow teach of this one: the longest quiet gap of a run, and its steps by name."""

    quiet: Usual | None = None
    steps: dict[str, Usual] = Field(default_factory=dict)


class RunSpec(Value):
    """The resolved configuration of one run. Durations in seconds, sizes in bytes."""

    workflow: WorkflowName
    workflow_version: int
    argv: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)
    workspace: str
    files: tuple[str, ...] = ()
    sdk: bool = False
    pool: PoolName = "default"
    host: HostId | None = None
    output: Literal["plain", "jsonl", "claude-code", "codex"] = "plain"
    progress: ProgressPattern | None = None
    timeout: float | None = None
    timeouts: Timeouts = Timeouts()
    concurrency: Concurrency | None = None
    kill: KillPolicy = KillPolicy()
    leftovers: Literal["end", "wait"] = "end"
    limits: Limits = Limits()
    stuck: StuckPolicy = StuckPolicy()
    learned: Learned | None = None
    retry: RetryPolicy = RetryPolicy()
    recovery: RecoveryPolicy = RecoveryPolicy()
    disconnect: DisconnectPolicy = DisconnectPolicy()
    params: dict[str, JsonValue] = Field(default_factory=dict)
    debug: bool = False
    breakpoints: tuple[Breakpoint, ...] = ()

    @property
    def is_admitted_by_the_plane(self) -> bool:
        """Whether the control plane has a say before a host may take it: it counts runs, or sets timers."""
        return (
            self.concurrency is not None or self.timeouts.run is not None or self.timeouts.queue is not None
        )


def render(template: str, params: dict[str, Any]) -> str:
    """Put parameters into their places; a name in braces that is no parameter stays as it is."""
    return PLACEHOLDER.sub(
        lambda match: _text(params[match[1]]) if match[1] in params else match[0], template
    )


def resolve(
    definition: WorkflowDefinition,
    version: int,
    params: dict[str, Any],
    *,
    host: str | None = None,
    pool: str | None = None,
    debug: bool = False,
    breakpoints: tuple[Breakpoint, ...] = (),
) -> RunSpec:
    """Resolve a definition and checked parameters (defaults filled in) into the spec of one run.

    An argument that is nothing but the place of a parameter that was not given is left out; within a longer
    argument, and in the environment, such a place is empty. :class:`InvalidInput` where a parameter's value
    would have the agent resolve a secret that the workflow does not name.
    """
    blank: dict[str, Any] = dict.fromkeys(definition.params.get("properties", {}))
    given = blank | params
    argv = tuple(
        render(argument, given) for argument in definition.command if not _is_left_out(argument, given)
    )
    env = {name: render(value, given) for name, value in definition.env.items()}
    for name, value in definition.env.items():
        if env[name].startswith(SECRET_PREFIX) and not definition.may_hold_secret(value):
            raise InvalidInput(
                f"env.{name} would become a reference to a secret through an ordinary parameter: "
                f"mark the parameter `secret: true` in the workflow, or give another value",
                field=f"env.{name}",
            )
    return RunSpec(
        workflow=definition.name,
        workflow_version=version,
        argv=argv,
        env=env,
        workspace=definition.workspace,
        files=definition.files,
        sdk=definition.sdk,
        pool=pool or definition.pool,
        host=host,
        output=definition.output,
        progress=definition.progress,
        timeout=definition.timeout,
        timeouts=definition.timeouts,
        concurrency=_concurrency(definition, given),
        kill=definition.kill,
        leftovers=definition.leftovers,
        limits=definition.limits,
        stuck=definition.stuck,
        retry=definition.retry,
        recovery=definition.recovery,
        disconnect=definition.disconnect,
        params=params,
        debug=debug or definition.debug,
        breakpoints=breakpoints,
    )


def _concurrency(definition: WorkflowDefinition, given: dict[str, Any]) -> Concurrency | None:
    policy = definition.concurrency
    if policy is None:
        return None
    key = render(policy.key, given) if policy.key is not None else ""
    group = derive_record_id("concurrency", definition.name, key)[:16]
    return Concurrency(group=f"q-{group}", limit=policy.limit, when_full=policy.when_full)


def _is_left_out(argument: str, given: dict[str, Any]) -> bool:
    place = PLACEHOLDER.fullmatch(argument)
    return place is not None and place[1] in given and given[place[1]] is None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
