"""Files and lines of a program: where a breakpoint can be, and what stands around the line that is held."""

import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from runplane.contract.debugging import SourceLine
from runplane.contract.errors import InvalidInput

AROUND = 5
_LARGEST_BYTES = 4 << 20
_LONGEST_LINE = 300


def place_of(location: str, workspace: str) -> tuple[Path, int]:
    """The file and the line of ``FILE:LINE``, the file as seen from the workspace.

    :class:`InvalidInput` where there is no such file, or no code in that line.
    """
    name, _, number = location.rpartition(":")
    path, line = Path(workspace, name), int(number)
    try:
        size = path.stat().st_size
        lines = _code_lines(path, path.stat().st_mtime_ns) if size <= _LARGEST_BYTES else frozenset[int]()
    except OSError as error:
        raise InvalidInput(
            f"{location}: there is no file {path} on this host ({error.strerror}): name it as seen from the workspace "
            f"{workspace}, or by its whole path",
            code="file_not_found",
        ) from None
    if lines and line not in lines:
        after = min((one for one in lines if one > line), default=max(lines))
        raise InvalidInput(
            f"{location}: this line has no code, so nothing stops there: the nearest that has is {name}:{after}",
            code="line_without_code",
        )
    return path.resolve(), line


def shown_name(path: str, workspace: str) -> str:
    """The file as people name it: as seen from the workspace where it lies in it."""
    try:
        return str(Path(path).relative_to(Path(workspace).resolve()))
    except ValueError:
        return path


def source_around(path: str, line: int) -> tuple[SourceLine, ...]:
    """The lines around one; none where the file cannot be read."""
    try:
        if Path(path).stat().st_size > _LARGEST_BYTES:
            return ()
        text = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    first = max(1, line - AROUND)
    return tuple(
        SourceLine(number=number, text=text[number - 1][:_LONGEST_LINE])
        for number in range(first, min(len(text), line + AROUND) + 1)
    )


@lru_cache(maxsize=64)
def _code_lines(path: Path, _changed: int) -> frozenset[int]:
    """The lines that have code; none where this version of Python cannot tell."""
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(_lines_of(code))


def _lines_of(code: types.CodeType) -> Iterator[int]:
    yield from (line for _, _, line in code.co_lines() if line)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _lines_of(constant)
