"""What can be seen where a program is stopped at a line, in bounded size. Asked over a link; tells nothing."""

import ast
import json
from typing import Any

from agent.debug.link import DebugLink
from agent.debug.program import INSIDE
from agent.debug.source import shown_name, source_around
from runplane.contract.debugging import LOCALS, Frame, Scope, Variable, cut
from runplane.sdk.line import shown

MOST_FRAMES = 50
MOST_VARIABLES = 200
MOST_BYTES = 4_000
"""Of one value."""
_PLAIN = frozenset({"int", "float", "bool", "str", "NoneType", "list", "tuple", "dict"})
_GROUPS = frozenset({"special variables", "function variables", "class variables", "protected variables"})


async def stack_of(link: DebugLink, thread: int, workspace: str) -> tuple[list[int], tuple[Frame, ...]]:
    """The ids of the frames, and the frames, the innermost first; those of the debugger left out."""
    body = await link.ask("stackTrace", threadId=thread, levels=MOST_FRAMES)
    ids: list[int] = []
    frames: list[Frame] = []
    for raw in body.get("stackFrames", ()):
        path = str((raw.get("source") or {}).get("path", ""))
        if path == str(INSIDE) or path.startswith("<frozen runpy>") or path.endswith("/runpy.py"):
            break
        line = int(raw.get("line", 0))
        ids.append(int(raw["id"]))
        frames.append(
            Frame(
                function=str(raw.get("name", ""))[:200],
                file=shown_name(path, workspace),
                line=line,
                source=source_around(path, line) if not frames else (),
            )
        )
    return ids, tuple(frames)


async def locals_of(link: DebugLink, frame: int) -> Scope:
    """The local variables of a frame."""
    return Scope(name=LOCALS, variables=await members_of(link, await reference_of(link, frame)))


async def reference_of(link: DebugLink, frame: int) -> int:
    """By what the local variables of a frame are asked for."""
    scopes = (await link.ask("scopes", frameId=frame)).get("scopes", ())
    return next((int(one["variablesReference"]) for one in scopes if one.get("name") == "Locals"), 0)


async def members_of(link: DebugLink, reference: int) -> tuple[Variable, ...]:
    """The variables behind a reference, one level."""
    if reference == 0:
        return ()
    found = (await link.ask("variables", variablesReference=reference)).get("variables", ())
    listed = [one for one in found if one.get("name") not in _GROUPS][:MOST_VARIABLES]
    return tuple(variable_of(str(one.get("name", "")), one) for one in listed)


def variable_of(name: str, raw: dict[str, Any]) -> Variable:
    """A variable as the debugger describes it: as JSON where it is plain data, else as its program writes it."""
    kind, text = str(raw.get("type") or "object"), str(raw.get("value", raw.get("result", "")))
    value: Any = text
    if kind in _PLAIN:
        try:
            value = json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = text  # it is cut, or holds what JSON has not
    value = shown({name: value})[name]
    beginning, size = cut(value, MOST_BYTES)
    return Variable(name=name[:200], type=kind[:100], value=beginning, truncated=size is not None, bytes=size)
