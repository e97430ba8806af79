"""Conditions of breakpoints at steps: one expression on a step's inputs and the workflow's variables.

Called by whoever takes a breakpoint in (:func:`check`) and by the agent (:func:`holds`). The language is that of
simpleeval, a subset of Python's expressions that is walked, never compiled: names, literals, comparisons, arithmetic
with limits, ``and or not in``, subscripts, ``a.b`` for a member of an object, and the functions of :data:`FUNCTIONS`.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from simpleeval import EvalWithCompoundTypes, FeatureNotAvailable, InvalidExpression  # type: ignore[import-untyped]

from runplane.contract.errors import InvalidInput

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "float": float,
    "int": int,
    "len": len,
    "lower": lambda text: str(text).lower(),
    "max": max,
    "min": min,
    "round": round,
    "str": str,
    "sum": sum,
}
_MOST_NODES = 200
_LONGEST_ERROR = 200


class ConditionError(Exception):
    """The condition could not be told to hold or not; the message says why."""


def check_condition(location: str, condition: str) -> None:
    """:class:`InvalidInput` for a condition that can never be evaluated where the breakpoint is: a step, or a line."""
    if location.startswith("step:"):
        check(condition)
        return
    try:
        ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(
            f"condition={condition[:200]!r} is no expression of Python: {_said(error)}",
            code="invalid_condition",
            field="condition",
            value=condition[:200],
        ) from None


def check(condition: str, field: str = "condition") -> None:
    """:class:`InvalidInput` where the condition can never be evaluated, whatever the variables hold."""
    try:
        _parsed(condition, _evaluator({}))
    except (InvalidExpression, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(
            f"{field}={condition[:200]!r} is no condition: {_said(error)}. It is one expression on the step's inputs "
            f'and the workflow\'s variables, like `count > 3 and state == "open"`; functions: {", ".join(FUNCTIONS)}',
            code="invalid_condition",
            field=field,
            value=condition[:200],
        ) from None


def holds(condition: str, names: Mapping[str, Any]) -> bool:
    """Whether the condition is true of these values. :class:`ConditionError` where it cannot be told."""
    return bool(value_of(condition, names))


def value_of(condition: str, names: Mapping[str, Any]) -> Any:
    """What an expression in the language of conditions comes to. :class:`ConditionError` where it cannot be told."""
    try:
        evaluator = _evaluator(names)
        tree = _parsed(condition, evaluator)
        return evaluator.eval(condition, previously_parsed=tree)
    except Exception as error:  # noqa: BLE001 - an operand may be of any type, so anything may be raised
        raise ConditionError(f"`{condition[:200]}` cannot be evaluated: {_said(error)}") from None


def _evaluator(names: Mapping[str, Any]) -> Any:
    json_words = {"true": True, "false": False, "null": None}
    return EvalWithCompoundTypes(names={**json_words, **names}, functions=dict(FUNCTIONS))


def _parsed(condition: str, evaluator: Any) -> Any:
    _check_nodes(ast.parse(condition.strip(), mode="eval"))
    return evaluator.parse(condition.strip())


def _check_nodes(tree: ast.AST) -> None:
    known = _evaluator({}).nodes
    for count, node in enumerate(ast.walk(tree)):
        if count > _MOST_NODES:
            raise ValueError("it is too long")
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp | ast.NamedExpr):
            raise FeatureNotAvailable("loops and assignments are no part of a condition")
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            raise FeatureNotAvailable(f"there is no function {ast.unparse(node.func)[:60]!r}")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise FeatureNotAvailable(f"{node.attr!r} begins with an underscore")
        if isinstance(node, ast.expr) and type(node) not in known:
            raise FeatureNotAvailable(f"{type(node).__name__} is no part of a condition")


def _said(error: BaseException) -> str:
    text = getattr(error, "message", None) or (error.msg if isinstance(error, SyntaxError) else str(error))
    return str(text or type(error).__name__).splitlines()[0][:_LONGEST_ERROR]
