"""Durable steps.

A step is known by its place in the program: the steps around it, its name, and which call of that name it is there.
On a resumed attempt a completed step gives its recorded result: decorated, without running; as a context manager, in
``result``, with ``recorded`` set so that the body can leave out the work. Results are JSON: a tuple comes back as a
list. A result that is not JSON or too large is not recorded, and its step runs again.
"""

from __future__ import annotations

import sys
import time
from contextvars import ContextVar
from functools import wraps

from runplane.sdk.channel import Scope, channel
from runplane.sdk.control import hold
from runplane.sdk.line import NAME_LIMIT, TEXT_LIMIT, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar, overload

    from runplane.sdk.channel import Channel

    Function = TypeVar("Function", bound=Callable[..., Any])

_scope: ContextVar[Scope | None] = ContextVar("runplane_scope", default=None)


def current_place(end: Channel) -> str:
    """The place of the step that is being run; empty outside every step."""
    scope = _scope.get()
    return scope.inside if scope is not None and scope.channel is end else ""


class Step:
    """One call of a step as a context manager, or a decorator that makes a step of every call.

    ``recorded``: an earlier attempt completed it; ``result``: that result, or what the body sets it to. ``inputs``:
    what it was given, with what an operator changed of it where it was held before it began.
    """

    __slots__ = (
        "_channel",
        "_expected",
        "_index",
        "_name",
        "_outer",
        "_place",
        "changed",
        "inputs",
        "recorded",
        "result",
    )

    def __init__(self, name: str | None, expected_seconds: float | None, inputs: dict[str, object]) -> None:
        self._name = str(name)[:NAME_LIMIT] if name is not None else None
        self._expected, self.inputs = expected_seconds, inputs
        self.changed: dict[str, object] = {}
        self._channel: Channel | None = None
        self.recorded = False
        self.result: Any = None

    @property
    def idempotency_key(self) -> str:
        """As :func:`runplane.idempotency_key`, of this step. Empty outside a run."""
        return f"{self._channel.origin}/{self._place}" if self._channel is not None else ""

    def __enter__(self) -> Self:
        if self._name is None:
            raise TypeError('a step as a context manager needs a name: with runplane.step("name") as s')
        for wait in self.begin():
            time.sleep(wait)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def __call__(self, function: Function) -> Function:
        decorated: Function = _decorated(
            function, self._name or function.__name__, self._expected, self.inputs
        )
        return decorated

    def begin(self) -> Iterator[float]:
        """Take its place, be held where the operator wants it, start; yields the seconds to sleep while held."""
        self.recorded, self.result = False, None
        end = self._channel = channel()
        if end is None:
            return
        name = str(self._name)
        self._outer = _scope.get()
        scope = self._outer if self._outer is not None and self._outer.channel is end else end.root
        self._index, self._place = end.index(name), scope.place(name)
        found = end.recorded(self._place)
        if found is not None:
            self.recorded, (self.result,) = True, found
            self._report("completed", result=self.result, recorded=True)
            return
        edits = yield from hold(end.control, f"step:{name}", lambda: self._scopes(end), end.report)
        if edits:
            self.changed = {name: value for name, value in edits.items() if name in self.inputs}
            self.inputs = {**self.inputs, **self.changed}
        more: dict[str, object] = {} if self._expected is None else {"expected_seconds": self._expected}
        self._report("started", inputs=shown(self.inputs), **more)
        _scope.set(Scope(end, self._place + "/"))

    def end(self, error: BaseException | None) -> None:
        """Leave the step: completed with ``result``, or failed."""
        if self._channel is None or self.recorded:
            return
        _scope.set(self._outer)
        if error is None:
            self._report("completed", result=self.result)
        else:
            kind = type(error).__name__
            self._report("failed", error=f"{kind}: {_message(error)}", error_type=kind)

    def _scopes(self, end: Channel) -> dict[str, dict[str, object]]:
        return {"inputs": self.inputs, "variables": end.exposed}

    def _report(self, state: str, **more: object) -> None:
        if self._channel is not None:
            self._channel.report(
                {"step": self._name, "index": self._index, "key": self._place, "state": state, **more}
            )


if TYPE_CHECKING:

    @overload
    def step(function: Function, /) -> Function: ...
    @overload
    def step(
        name: str | None = None, /, *, expected_seconds: float | None = None, **inputs: object
    ) -> Step: ...


def step(target: Any = None, /, *, expected_seconds: float | None = None, **inputs: object) -> Any:
    """Make a durable step: a decorator with or without a name, or with a name a context manager.

    ``expected_seconds`` declares a wait, so that it is not taken for being stuck.
    """
    if target is None or isinstance(target, str):
        return Step(target, expected_seconds, inputs)
    return _decorated(target, target.__name__, expected_seconds, inputs)


def _decorated(function: Any, name: str, expected: float | None, fixed: dict[str, object]) -> Any:
    import inspect  # noqa: PLC0415 - see the package's rules

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} is a generator, and a step has one result: make a step of what it calls")
    names = _positional(function, inspect)

    def call(args: tuple[object, ...], kwargs: dict[str, object]) -> Step:
        inputs = {**fixed, **{n: v for n, v in zip(names, args) if n not in ("self", "cls")}, **kwargs}  # noqa: B905
        if len(args) > len(names):
            inputs["args"] = args[len(names) :]
        return Step(name, expected, inputs)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def asynchronous(*args: object, **kwargs: object) -> object:
            if channel() is None:
                return await function(*args, **kwargs)
            this = call(args, kwargs)
            for wait in this.begin():
                await _sleep(wait)
            if this.recorded:
                return this.result
            args, kwargs = _rebound(names, args, kwargs, this.changed)
            return await _awaited(this, function(*args, **kwargs))

        return asynchronous

    @wraps(function)
    def synchronous(*args: object, **kwargs: object) -> object:
        if channel() is None:
            return function(*args, **kwargs)
        with call(args, kwargs) as this:
            if not this.recorded:
                args, kwargs = _rebound(names, args, kwargs, this.changed)
                this.result = function(*args, **kwargs)
        return this.result

    return synchronous


def _rebound(
    names: tuple[str, ...], args: tuple[object, ...], kwargs: dict[str, object], changed: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """The arguments, with what an operator changed of them."""
    if not changed:
        return args, kwargs
    given = tuple(changed.get(name, value) for name, value in zip(names, args))  # noqa: B905
    named = {name: changed.get(name, value) for name, value in kwargs.items()}
    return given + args[len(names) :], named


async def _awaited(this: Step, work: Any) -> object:
    try:
        this.result = await work
    except BaseException as error:
        this.end(error)
        raise
    this.end(None)
    return this.result


async def _sleep(seconds: float) -> None:
    """Wait without holding up the event loop; one that is not asyncio's is held up."""
    asyncio = sys.modules.get("asyncio")
    try:
        asyncio.get_running_loop()  # type: ignore[union-attr]
    except (AttributeError, RuntimeError):
        time.sleep(seconds)  # noqa: ASYNC251
    else:
        await asyncio.sleep(seconds)  # type: ignore[union-attr]


def _positional(function: Any, inspect: Any) -> tuple[str, ...]:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def _message(error: BaseException) -> str:
    try:
        return str(error)[:TEXT_LIMIT]
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return "its message cannot be read"
