"""The workflow file: what a person writes, every field checked, every error naming field and value."""

import re
import signal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from runplane.contract.ids import PoolName, WorkflowName
from runplane.contract.units import ByteSize, Seconds
from runplane.contract.value import StrictValue

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A parameter's place in an argument: ``{epic}``. Other braces, such as a shell's ``${HOME}``, are left alone."""
SECRET_PREFIX = "secret:"  # noqa: S105 - the form of a reference, not a secret
"""What a reference to a secret begins with; the agent alone resolves it."""
SECRET_REFERENCE = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]{0,127})")
"""A whole reference to a secret; its name is also that of an environment variable on the agent. Use fullmatch."""


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError(f"{text[:80]!r} holds a NUL character, which no program can be given: remove it")
    return text


def _signal_name(value: Any) -> str:
    name = str(value).upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise ValueError(f"{value!r} is not a signal: use a name like SIGTERM or SIGINT")
    return name


Argument = Annotated[str, Field(max_length=1_000_000)]


class KillPolicy(StrictValue):
    """How an attempt is asked to end: ``signal`` to its main process, then ``grace`` seconds."""

    signal: Annotated[str, BeforeValidator(_signal_name)] = "SIGTERM"
    grace: Seconds = 10.0


class Limits(StrictValue):
    """Upper bounds on one attempt: bytes of memory, cores, processes, bytes of output."""

    memory: ByteSize | None = None
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    processes: Annotated[int, Field(gt=0, le=4_194_304)] | None = None
    output: ByteSize | None = None


class StuckPolicy(StrictValue):
    """When a run counts as stuck, and what is done about it."""

    silent: Seconds | Literal["auto"] | None = "auto"
    spinning: Seconds | Literal["auto"] | None = "auto"
    looping: Annotated[int, Field(gt=1)] | Literal["auto"] | None = "auto"
    step: Seconds | Literal["auto"] | None = "auto"
    action: Literal["notify", "kill", "restart", "retry"] = "notify"


class ProgressPattern(StrictValue):
    r"""A regular expression that finds the progress in a line of output, by named groups.

    ``done`` or ``percent``, and ``total``, ``unit``, ``message``: ``(?P<done>\d+)/(?P<total>\d+) (?P<message>.*)``.
    """

    pattern: Annotated[str, Field(min_length=1, max_length=1_000)]

    @field_validator("pattern")
    @classmethod
    def _names_its_groups(cls, pattern: str) -> str:
        known = ("done", "percent", "total", "unit", "message")
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"{pattern[:80]!r} is no regular expression: {error}") from None
        unknown = sorted(groups.keys() - set(known))
        if unknown:
            raise ValueError(f"{pattern[:80]!r} names the group {unknown[0]!r}: there are {', '.join(known)}")
        if not groups.keys() & {"done", "percent"}:
            raise ValueError(
                f"{pattern[:80]!r} finds no figure: name a group done or percent, like "
                f"(?P<done>[0-9]+)/(?P<total>[0-9]+)"
            )
        return pattern


class RetryPolicy(StrictValue):
    """How often, when and after which endings a run is attempted again."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 1
    initial: Seconds = 5.0
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max: Seconds = 300.0
    on: tuple[Literal["failed", "stuck", "timed_out", "lost"], ...] = ("failed", "stuck", "timed_out", "lost")
    not_on_exit: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()


class RecoveryLink(StrictValue):
    """One link of a chain: what is done when an attempt has failed, and how often before the next link is.

    ``retry`` begins a further attempt where ``recovery.from`` says, ``resume`` from the last checkpoint, ``restart``
    from the beginning; ``run`` starts ``workflow`` with the failed run as its input; ``escalate`` holds the run until
    an operator decides; ``give_up`` ends it.
    """

    do: Literal["retry", "resume", "restart", "run", "escalate", "give_up"]
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    workflow: WorkflowName | None = None

    @model_validator(mode="after")
    def _names_what_it_runs(self) -> "RecoveryLink":
        if self.do == "run" and self.workflow is None:
            raise ValueError("`do: run` starts a workflow: name it, as in {do: run, workflow: cleanup}")
        if self.do != "run" and self.workflow is not None:
            raise ValueError(f"`do: {self.do}` starts no workflow: take `workflow: {self.workflow}` away")
        if self.times > 1 and not self.attempts:
            raise ValueError(f"`do: {self.do}` is done once: take `times: {self.times}` away")
        return self

    @property
    def attempts(self) -> bool:
        """Whether it begins a further attempt."""
        return self.do in ("retry", "resume", "restart")


class RecoveryPolicy(StrictValue):
    """Where a further attempt starts, and what is done when an attempt failed.

    ``keep``: how many of a run's checkpoints stay when newer ones come.

    Without a ``chain``: attempts as ``retry`` says, then ``on_failure`` where it is given. With one, the chain alone
    says what is done and how often; ``retry`` still says after which endings, and how long is waited.
    """

    # `from` on the wire and in files, where Python cannot say it.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    from_: Literal["checkpoint", "beginning"] = Field(default="beginning", alias="from")
    on_failure: WorkflowName | None = None
    keep: Annotated[int, Field(ge=1, le=10_000)] = 10
    chain: Annotated[tuple[RecoveryLink, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _chain_can_be_followed(self) -> "RecoveryPolicy":
        if self.chain and self.on_failure is not None:
            raise ValueError(
                f"on_failure and chain are both given: put {{do: run, workflow: {self.on_failure}}} at the chain's end"
            )
        over = False
        for number, link in enumerate(self.chain):
            last = number == len(self.chain) - 1
            if over and link.attempts:
                raise ValueError(
                    f"chain.{number} ({link.do}) would never be reached: attempts come before `run`"
                )
            if link.do in ("escalate", "give_up") and not last:
                raise ValueError(f"chain.{number} ({link.do}) ends the chain: nothing can come after it")
            over = over or link.do == "run"
        return self


class Timeouts(StrictValue):
    """Limits in time beside ``timeout``, which is that of one attempt.

    ``run``: from its acceptance to its end, all attempts and waits together; ``step``: of one step; ``queue``: until a
    host has begun the first attempt.
    """

    run: Seconds | None = None
    step: Seconds | None = None
    queue: Seconds | None = None


class ConcurrencyPolicy(StrictValue):
    """How many runs of the workflow may be open at once, and what happens to one more.

    ``key`` (text with parameters in braces) makes that a limit for each value of it.
    """

    key: Annotated[str, Field(max_length=1000)] | None = None
    limit: Annotated[int, Field(ge=1)] = 1
    when_full: Literal["queue", "reject", "replace"] = "queue"


class DisconnectPolicy(StrictValue):
    """What a host cut off from the broker does, and when its runs are given up."""

    stop_after: Seconds | None = None
    lost_after: Seconds = 900.0


class WorkflowDefinition(StrictValue):
    """A workflow as registered. ``workspace`` is absolute, ``temporary`` or ``kept`` once registered."""

    name: WorkflowName
    description: Annotated[str, Field(max_length=4000)] = ""
    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=10_000)]
    params: dict[str, Any] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    workspace: Annotated[str, Field(min_length=1, max_length=4096)] = "."
    files: tuple[str, ...] = ()
    sdk: bool = False
    pool: PoolName = "default"
    output: Literal["plain", "jsonl", "claude-code", "codex"] = "plain"
    progress: ProgressPattern | None = None
    timeout: Seconds | None = None
    kill: KillPolicy = KillPolicy()
    leftovers: Literal["end", "wait"] = "end"
    limits: Limits = Limits()
    stuck: StuckPolicy = StuckPolicy()
    retry: RetryPolicy = RetryPolicy()
    recovery: RecoveryPolicy = RecoveryPolicy()
    timeouts: Timeouts = Timeouts()
    concurrency: ConcurrencyPolicy | None = None
    disconnect: DisconnectPolicy = DisconnectPolicy()
    debug: bool = False

    @field_validator("command")
    @classmethod
    def _command_is_an_argv(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0].strip():
            raise ValueError("the first element is the program to run and must not be empty")
        return tuple(_no_nul(argument) for argument in command)

    @field_validator("env")
    @classmethod
    def _env_can_be_set(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} cannot name an environment variable: use letters, digits and _")
            if name.startswith("RUNPLANE_"):
                raise ValueError(f"{name!r} is set by the agent: choose a name without RUNPLANE_")
            if value.startswith(SECRET_PREFIX) and not SECRET_REFERENCE.fullmatch(value):
                raise ValueError(f"{name!r} is no reference to a secret: write secret:NAME and nothing else")
            _no_nul(value)
        return env

    @field_validator("workspace")
    @classmethod
    def _workspace_has_no_nul(cls, workspace: str) -> str:
        return _no_nul(workspace)

    @model_validator(mode="after")
    def _placeholders_are_parameters(self) -> "WorkflowDefinition":
        properties = self.params.get("properties", {})
        if not isinstance(properties, dict):
            raise ValueError("params.properties must be an object that names the parameters")  # noqa: TRY004
        secret = self.secret_params
        for argument in self.command:
            for name in PLACEHOLDER.findall(argument):
                if name not in properties:
                    known = ", ".join(sorted(properties)) or "none"
                    raise ValueError(
                        f"command uses {{{name}}}, which is no parameter (there are: {known}): "
                        f"add {name} to params.properties or correct the name"
                    )
                if name in secret:
                    raise ValueError(
                        f"command uses the secret parameter {{{name}}}: a command line is readable by "
                        f"everyone on the machine, so hand it over in env instead"
                    )
        key = self.concurrency.key if self.concurrency is not None else None
        for name in PLACEHOLDER.findall(key or ""):
            if name not in properties:
                known = ", ".join(sorted(properties)) or "none"
                raise ValueError(
                    f"concurrency.key uses {{{name}}}, which is no parameter (there are: {known}): "
                    f"add {name} to params.properties or correct the name"
                )
        for variable, value in self.env.items():
            mixed = secret.intersection(PLACEHOLDER.findall(value))
            if mixed and not PLACEHOLDER.fullmatch(value):
                raise ValueError(
                    f"env.{variable} mixes the secret parameter {{{min(mixed)}}} with other text, which the agent "
                    f"cannot resolve: give the secret a variable of its own"
                )
        return self

    def may_hold_secret(self, template: str) -> bool:
        """Whether this value of ``env`` may become a reference to a secret: it is one, or a secret parameter."""
        place = PLACEHOLDER.fullmatch(template)
        return template.startswith(SECRET_PREFIX) or (place is not None and place[1] in self.secret_params)

    @property
    def secret_params(self) -> frozenset[str]:
        """The names of the parameters marked ``secret: true``."""
        properties = self.params.get("properties", {})
        return frozenset(
            name
            for name, schema in properties.items()
            if isinstance(schema, dict) and schema.get("secret") is True
        )
